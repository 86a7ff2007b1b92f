import { isUtf8 } from 'node:buffer';
import { UserError } from './errors.ts';
import { escapeControls } from './repo.ts';

/** A commit object, its parts as the bytes that git stores; what a signature covers is left out. */
export interface CommitParts {
  readonly tree: string;
  readonly parents: readonly string[];
  /** `name <email> seconds zone`, in whatever encoding. */
  readonly author: Buffer;
  readonly committer: Buffer;
  /** The name of the encoding, where it is not UTF-8. */
  readonly encoding?: Buffer | undefined;
  readonly message: Buffer;
}

/** Who made a commit. */
export interface Ident {
  readonly name: string;
  readonly email: string;
}

/**
 * Reads a commit object. Signatures and other headers are left out: they hold for that very commit alone.
 *
 * @throws Error when a header is missing that every commit has
 */
export function readCommit(object: Buffer): CommitParts {
  const end = object.indexOf('\n\n');
  const head = (end < 0 ? object : object.subarray(0, end)).toString('latin1');
  const values = new Map<string, string[]>();
  for (const line of head.split('\n')) {
    const blank = line.indexOf(' ');
    // A line that begins with a blank carries the header above it on.
    if (blank <= 0) continue;
    const name = line.slice(0, blank);
    values.set(name, [...(values.get(name) ?? []), line.slice(blank + 1)]);
  }
  const one = (name: string): Buffer => {
    const value = values.get(name)?.[0];
    if (value === undefined) throw new Error(`a commit has no ${name}`);
    return Buffer.from(value, 'latin1');
  };
  return {
    tree: one('tree').toString(),
    parents: values.get('parent') ?? [],
    author: one('author'),
    committer: one('committer'),
    encoding: values.has('encoding') ? one('encoding') : undefined,
    message: end < 0 ? Buffer.alloc(0) : object.subarray(end + 2),
  };
}

/** The bytes of a commit object, as `git hash-object -t commit` takes them. */
export function writeCommit(commit: CommitParts): Buffer {
  const header = (name: string, value: string | Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${name} `), Buffer.from(value), Buffer.from('\n')]);
  return Buffer.concat([
    header('tree', commit.tree),
    ...commit.parents.map((parent) => header('parent', parent)),
    header('author', commit.author),
    header('committer', commit.committer),
    ...(commit.encoding === undefined ? [] : [header('encoding', commit.encoding)]),
    Buffer.from('\n'),
    commit.message,
  ]);
}

/** How a commit names a person and a moment. What would end the name or the line is left out, as git does. */
export function identLine({ name, email }: Ident, at: Date): Buffer {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is left out
  const plain = (text: string) => text.replace(/[\u0000-\u001f\u007f<>]/g, '').trim();
  const seconds = Math.floor(at.getTime() / 1000);
  return Buffer.from(`${plain(name)} <${plain(email).replaceAll(' ', '')}> ${seconds} +0000`);
}

/**
 * A message as `git commit` cleans it: no blanks at line ends, no two empty lines in a row, none at either end, a
 * newline behind the last line.
 *
 * @returns the empty text when nothing is left
 */
export function cleanMessage(text: string): string {
  const lines = text.split(/\r?\n/).map((line) => line.trimEnd());
  const kept = lines.filter((line, at) => line !== '' || (at > 0 && lines[at - 1] !== ''));
  const joined = kept.join('\n').replace(/^\n+|\n+$/g, '');
  return joined === '' ? '' : `${joined}\n`;
}

const longestMessage = 64 * 1024;

/** Why a text can't be a commit's message; undefined when it can. */
export function messageFault(text: Buffer): string | undefined {
  if (text.length > longestMessage) return 'it is longer than 64 KB';
  if (!isUtf8(text)) return 'it is not UTF-8';
  const shown = text.toString().replace(/[\t\r\n]/g, ' ');
  return escapeControls(shown) === shown ? undefined : 'it has control characters in it';
}

/**
 * A text from outside as a commit's message, cleaned.
 *
 * @throws UserError `usage` when it can't be one, or nothing is left of it
 */
export function checkedMessage(text: Buffer): string {
  const fault = messageFault(text);
  if (fault !== undefined) throw new UserError('usage', `the message is no good: ${fault}`);
  const message = cleanMessage(text.toString());
  if (message !== '') return message;
  throw new UserError('usage', 'the message is empty', {
    hint: "leave it out for git's own words",
  });
}
