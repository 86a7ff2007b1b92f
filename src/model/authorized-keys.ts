import { UserError } from './errors.ts';
import { type PublicKey, parsePublicKey } from './sshkey.ts';

/** A key in an `authorized_keys` file. */
export interface AuthorizedKey extends PublicKey {
  /** What stands behind the key. */
  readonly comment: string;
  /** What stands before it, as it is; empty for a key without options. */
  readonly options: string;
}

/**
 * The keys of an `authorized_keys` file, in its order. Lines that open nothing by themselves are left out: comments,
 * authorities of certificates, and keys of kinds that are not taken here.
 *
 * @see sshd(8), AUTHORIZED_KEYS FILE FORMAT
 */
export function authorizedKeys(text: string): AuthorizedKey[] {
  return text.split('\n').flatMap((line) => readLine(line) ?? []);
}

function readLine(line: string): AuthorizedKey | undefined {
  const trimmed = line.trim();
  if (trimmed === '' || trimmed.startsWith('#')) return undefined;
  const plain = tryKey(trimmed);
  if (plain !== undefined) return { ...plain, options: '' };
  // Options end at the first blank outside of quotes.
  const [options = ''] = /^(?:"(?:\\"|[^"])*"|[^\s"])*/.exec(trimmed) ?? [];
  if (/(?:^|,)cert-authority(?:,|$)/i.test(options)) return undefined;
  const key = tryKey(trimmed.slice(options.length).trim());
  return key && { ...key, options };
}

function tryKey(text: string) {
  if (!/^[a-z0-9@.-]+\s/.test(text)) return undefined;
  try {
    return parsePublicKey(text);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/**
 * The text of an `authorized_keys` file in which a key has this one line: in the place of the first line that it has,
 * whatever that let it do, or at the end.
 *
 * @param line - with the key in it, without a line break
 */
export function withKeyLine(text: string, { blob }: PublicKey, line: string): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  const isOurs = (each: string) => readLine(each)?.blob.equals(blob) === true;
  const first = lines.findIndex(isOurs);
  if (first === -1) return [...lines, line, ''].join('\n');
  const kept = lines.filter((each, at) => at === first || !isOurs(each));
  kept[kept.findIndex(isOurs)] = line;
  return [...kept, ''].join('\n');
}
