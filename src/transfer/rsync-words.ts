import { UserError } from '../model/errors.ts';
import { quoted } from '../model/repo.ts';
import type { RsyncRequest } from '../programs/rsync.ts';

const longestBytes = 1024;
const long: Readonly<Record<string, RegExp>> = {
  '--timeout': /^\d{1,5}$/,
  '--bwlimit': /^\d{1,9}$/,
  '--checksum-choice': /^(xxh128|xxh3|xxh64|md5)$/,
};
const receiverOnly = ['--delete', '--partial'];

/**
 * Reads what followed `rsync`: the one form that servers use among themselves, and nothing else (S24). What is not on
 * the list is refused by its name.
 *
 * @throws UserError `usage`
 */
export function readRsyncWords(words: readonly string[]): RsyncRequest {
  if (words.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0) > longestBytes) {
    throw refusal('the command is too long');
  }
  const rest = [...words];
  if (rest.shift() !== '--server') throw refusal('only rsync --server is known here');
  const sender = rest[0] === '--sender';
  if (sender) rest.shift();
  const { flags, protocol } = readShort(rest.shift() ?? '');
  const [path = '', dot] = rest.splice(-2).reverse();
  const given = readLong(rest, sender);
  const token = /^([0-9a-f]{32})\/$/.exec(path)?.[1];
  if (dot !== '.' || token === undefined) throw refusal('its path is no session of ours');
  return {
    sender,
    flags,
    protocol,
    timeoutS: numberOf(given.get('--timeout')),
    bandwidthKib: numberOf(given.get('--bwlimit')),
    checksum: given.get('--checksum-choice'),
    deletes: given.has('--delete'),
    partial: given.has('--partial'),
    token,
  };
}

function readShort(word: string): { flags: string; protocol: string } {
  const [, flags = '', protocol = ''] =
    /^-([a-zA-Z]+?)(e\d*(?:\.\d*)?\.[iLsfxCIvu]*)$/.exec(word) ?? [];
  const known = [...flags].every((flag) => 'trzc'.includes(flag));
  const once = new Set(flags).size === flags.length;
  if (known && once && flags.includes('t') && flags.includes('r')) return { flags, protocol };
  throw refusal(`${quoted(word)} is not among its flags`);
}

function readLong(words: readonly string[], sender: boolean): Map<string, string> {
  const given = new Map<string, string>();
  for (const word of words) {
    const [name = '', value] = word.split(/=(.*)/s, 2);
    const sound =
      value === undefined
        ? !sender && receiverOnly.includes(name)
        : Object.hasOwn(long, name) && long[name]?.test(value) === true;
    if (!sound || given.has(name)) throw refusal(`${quoted(word)} is not among its flags`);
    given.set(name, value ?? '');
  }
  return given;
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function refusal(why: string): UserError {
  return new UserError('usage', `rsync: ${why}`, {
    hint: 'servers sync with: cpm push, cpm pull; people clone with git',
  });
}
