import { statuses } from '../model/errors.ts';
import { flushPkt, pkt } from '../model/pktline.ts';
import { refFault } from '../model/ref.ts';
import { readRefsOf } from '../programs/refs.ts';
import { planned } from './arguments.ts';
import { type ClientInput, clientInput, writeLast } from './client.ts';
import { pass } from './pass.ts';
import type { Talk, Transfer } from './transfer.ts';

/**
 * `git archive --remote`. Its options arrive in the stream; they are read first, and git is started with nothing
 * but what is known to be harmless (S15).
 */
export const uploadArchive: Transfer = {
  program: 'git-upload-archive',
  plan: (words) => ({ ...planned('git-upload-archive', words), right: 'read', talk: archive }),
};

/** The one answer to all that is not allowed and to all that does not exist, so that it tells nothing. */
const refusal =
  'an archive is made of HEAD, a branch or a tag, with --format, --prefix, -0 to -9, --list and paths';

async function archive(talk: Talk): Promise<number> {
  const words = await readWords(clientInput(talk.stdio.stdin, talk.signal));
  const args = words === undefined ? undefined : await allowed(words, talk.directory);
  if (args !== undefined) {
    const request = args.map((word) => pkt(`argument ${word}\n`));
    return pass(talk, ['upload-archive', '.'], Buffer.concat([...request, flushPkt]));
  }
  const answer = Buffer.concat([pkt(`NACK ${refusal}\n`), flushPkt]);
  await writeLast(talk.stdio.stdout, answer, talk.signal);
  return statuses.denied;
}

/** git's own limit on them. */
const mostWords = 64;

/** @returns undefined when the request is none, or too long */
async function readWords(input: ClientInput): Promise<string[] | undefined> {
  const words: string[] = [];
  for (;;) {
    const packet = await input.packet();
    if (packet?.kind === 'flush') return words;
    if (packet?.kind !== 'data' || words.length === mostWords) return undefined;
    const line = packet.payload.toString();
    if (!line.startsWith('argument ')) return undefined;
    words.push(line.slice('argument '.length).replace(/\n$/, ''));
  }
}

/** Options that take their value as the next word, too. */
const withValue = new Set(['--format', '--prefix']);

/**
 * Judges the words of a request and puts them in an order that leaves git nothing to guess.
 *
 * @returns undefined unless every word is allowed and the tree is named exactly
 */
async function allowed(words: readonly string[], directory: string): Promise<string[] | undefined> {
  const options: string[] = [];
  const names: string[] = [];
  for (let at = 0; at < words.length; at++) {
    let word = words[at] ?? '';
    if (word === '--') {
      names.push(...words.slice(at + 1));
      break;
    }
    if (!word.startsWith('-')) {
      names.push(word);
      continue;
    }
    if (withValue.has(word)) {
      at += 1;
      word = `${word}=${words[at] ?? ''}`;
    }
    if (!isAllowedOption(word)) return undefined;
    options.push(word);
  }
  if (words.some((word) => /[\0\n]/.test(word))) return undefined;
  if (options.some((option) => option === '-l' || option === '--list')) return ['--list'];
  const [name, ...paths] = names;
  const tree = name === undefined ? undefined : await treeOf(name, directory);
  return tree === undefined ? undefined : [...options, '--', tree, ...paths];
}

function isAllowedOption(word: string): boolean {
  if (/^(-[0-9]|-v|--verbose|-l|--list)$/.test(word)) return true;
  if (/^--format=(tar|tar\.gz|tgz|zip)$/.test(word)) return true;
  return word.startsWith('--prefix=');
}

/** @returns `HEAD` or the full name of an existing tag or branch, in git's order of looking */
async function treeOf(name: string, directory: string): Promise<string | undefined> {
  if (name === 'HEAD') return name;
  const isFull = name.startsWith('refs/heads/') || name.startsWith('refs/tags/');
  const candidates = isFull ? [name] : [`refs/tags/${name}`, `refs/heads/${name}`];
  const possible = candidates.filter((ref) => refFault(ref) === undefined);
  const values = await readRefsOf(directory, possible);
  return possible.find((ref) => values.get(ref)?.oid !== undefined);
}
