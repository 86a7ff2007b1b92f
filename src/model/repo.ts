import { UserError } from './errors.ts';

/** A repository's full name, `<namespace>/<name>`. */
export type RepoName = `${string}/${string}`;

export const visibilities = ['private', 'internal', 'public'] as const;
export type Visibility = (typeof visibilities)[number];

/** The path a client asked for: a full name, or a bare name that lies in a namespace still to be found. */
export interface RepoPath {
  readonly namespace: string | undefined;
  readonly name: string;
  /** A path that no repository can be called, only an alias: deeper, or with capitals. `name` is empty then. */
  readonly alias?: string;
}

const nameShape = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const reserved = new Set(['cpm', 'git', 'root', 'nobody', 'operator', 'anonymous']);

/**
 * Why a word is no name of a user, org, server or repository; undefined when it is one.
 * Capitals are refused, never folded: two spellings of one name would be two names to a file system.
 */
export function nameFault(name: string): string | undefined {
  if (/[A-Z]/.test(name)) return 'capitals are not allowed';
  if (!nameShape.test(name)) {
    return 'it must be 1 to 63 of a-z, 0-9, ".", "_" and "-", beginning with a letter or digit';
  }
  if (name.includes('..')) return '".." is not allowed';
  if (name.endsWith('.git') || name.endsWith('.lock')) return 'it must not end in .git or .lock';
  return undefined;
}

/** @throws UserError `usage` when `name` can't be the name of a user, org, server or repository */
export function checkName(name: string, what: string): string {
  const fault = nameFault(name);
  if (fault === undefined) return name;
  throw new UserError('usage', `${quoted(name)} is not a ${what} name: ${fault}`);
}

/** The names that no user or org may take; repositories may. @throws UserError `usage` */
export function checkNamespace(name: string, what: string): string {
  checkName(name, what);
  if (!reserved.has(name)) return name;
  throw new UserError('usage', `"${name}" is a reserved name`, { hint: 'choose another name' });
}

export function isReserved(name: string): boolean {
  return reserved.has(name);
}

const longestAlias = 255;
const deepestAlias = 10;

/**
 * Reads the path of a git client or the REPO of a command: leading `/` or `~/`, one `.git` and a trailing slash
 * are dropped; what is left must be `name` or `namespace/name`, or what an alias may be called.
 *
 * @throws UserError `usage`
 */
export function parseRepoPath(path: string): RepoPath {
  const bare = barePath(path);
  const fault = pathFault(bare);
  if (fault === undefined) return namedPath(bare);
  if (aliasFault(bare) === undefined) return { namespace: undefined, name: '', alias: bare };
  throw noRepositoryName(path, fault);
}

/** Reads what a repository is to be called: `name` or `namespace/name`. @throws UserError `usage` */
export function parseRepoName(path: string): RepoPath {
  const bare = barePath(path);
  const fault = pathFault(bare);
  if (fault === undefined) return namedPath(bare);
  throw noRepositoryName(path, fault);
}

/**
 * Reads an alias: names of any case, up to ten deep.
 *
 * @returns it without what `parseRepoPath` drops
 * @throws UserError `usage`
 */
export function parseAlias(path: string): string {
  const bare = barePath(path);
  const fault = aliasFault(bare);
  if (fault === undefined) return bare;
  throw new UserError('usage', `${quoted(path)} can be no alias: ${fault}`, {
    hint: 'an alias is a path as other servers have them, as in Old/Group/Thing.git',
  });
}

function barePath(path: string): string {
  return path
    .replace(/^(~\/|\/)/, '')
    .replace(/\/$/, '')
    .replace(/\.git$/, '');
}

function pathFault(bare: string): string | undefined {
  const parts = bare.split('/');
  if (parts.length > 2) return 'it has more than one slash';
  return parts.map(nameFault).find((fault) => fault !== undefined);
}

function aliasFault(bare: string): string | undefined {
  if (bare.length > longestAlias) return `it is longer than ${longestAlias} characters`;
  const parts = bare.split('/');
  if (parts.length > deepestAlias) return `it is more than ${deepestAlias} deep`;
  return parts.map((part) => nameFault(part.toLowerCase())).find((fault) => fault !== undefined);
}

function namedPath(bare: string): RepoPath {
  const [first = '', second] = bare.split('/');
  return second === undefined
    ? { namespace: undefined, name: first }
    : { namespace: first, name: second };
}

/** The one answer for a path that only an alias could be called, whether there is none or one that may not be seen. */
export function noSuchAlias(alias: string, aboutId?: string): UserError {
  return noRepositoryName(alias, pathFault(alias) ?? 'it is no alias', aboutId);
}

function noRepositoryName(path: string, fault: string, aboutId?: string): UserError {
  return new UserError('usage', `${quoted(path)} is not a repository name: ${fault}`, {
    hint: 'a repository is called NAMESPACE/NAME, or NAME in your own namespace',
    aboutId,
  });
}

export function repoPathText({ namespace, name, alias }: RepoPath): string {
  return alias ?? (namespace === undefined ? name : `${namespace}/${name}`);
}

const longestQuote = 80;

/** A text from outside, fit for records and logs: the password of a URL in it is left out. */
export function withoutSecret(text: string): string {
  return text.replace(/\/\/([^/\s:@]*):[^/\s@]*@/g, '//$1:…@');
}

/** A word from outside, safe to show: control and non-ASCII direction characters escaped, no password, cut when long. */
export function quoted(word: string): string {
  const open = withoutSecret(word);
  const cut = open.length > longestQuote ? `${open.slice(0, longestQuote)}…` : open;
  return `"${escapeControls(cut)}"`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const controls = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Escapes C0, C1, DEL and bidirectional controls, so that text from outside can't steer a terminal. */
export function escapeControls(text: string): string {
  return text.replace(controls, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** JSON of a value on one line, every control character in it in JSON's own escaped spelling. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(
    controls,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
