import { shortRef } from './ref.ts';
import { escapeControls } from './repo.ts';

/** A word as a POSIX shell reads it back: in single quotes, unless it needs none. */
export function shellWord(word: string): string {
  if (/^[A-Za-z0-9_./:@%+=,-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * A command line for a person's own shell that has words run on a server: quoted once for that shell, and once for the
 * server, to which the ssh client sends them as one text.
 *
 * @param url - `ssh://USER@HOST[:PORT]`
 */
export function sshLine(url: string, words: readonly string[]): string {
  const [, target = '', port = '22'] = /^ssh:\/\/(.*?)(?::(\d+))?$/.exec(url) ?? [];
  const host = target.replaceAll(/[[\]]/g, '');
  const to = port === '22' ? ['ssh', host] : ['ssh', '-p', port, host];
  return [...to, ...words.map((word) => shellWord(shellWord(word)))].join(' ');
}

/**
 * A ref as a word that means it and nothing else: a branch by its name, where that is no flag and no other ref's.
 *
 * @returns undefined when it can't be shown as it is, for the characters in it
 */
export function refWord(ref: string): string | undefined {
  if (escapeControls(ref) !== ref) return undefined;
  const short = shortRef(ref);
  return short.startsWith('-') || short.startsWith('refs/') ? ref : short;
}
