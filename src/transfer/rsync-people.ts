import { UserError } from '../model/errors.ts';
import { parseRepoPath, quoted, type RepoPath } from '../model/repo.ts';
import type { PlainRsync } from '../programs/rsync-plain.ts';

/** What somebody's own rsync wants of a repository. */
export interface RsyncPlan {
  readonly action: 'rsync';
  readonly path: RepoPath;
  readonly right: 'read' | 'write';
  readonly request: PlainRsync;
}

const longestBytes = 1024;
const flags = 'vqnlogDtprzcIW';
const long: Readonly<Record<string, RegExp>> = {
  '--timeout': /^\d{1,5}$/,
  '--bwlimit': /^\d{1,9}$/,
  '--checksum-choice': /^(xxh128|xxh3|xxh64|md5)$/,
  '--compress-choice': /^(zstd|lz4|zlibx|zlib)$/,
  '--compress-level': /^\d{1,2}$/,
};
const plain = ['--numeric-ids'];
const deleting = [
  '--delete',
  '--delete-before',
  '--delete-during',
  '--delete-delay',
  '--delete-after',
];
/** What only the receiving side is told. */
const receiving = [...deleting, '--partial', '--stats', '--log-format=%i'];

/**
 * Reads what followed `rsync` of a person's own client: `-avz --delete` and its like, on one repository. What is not on
 * the list is refused by its name (S24).
 *
 * @throws UserError `usage`
 */
export function readPeoplesRsync(words: readonly string[]): RsyncPlan {
  if (words.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0) > longestBytes) {
    throw refusal('the command is too long');
  }
  const rest = [...words];
  if (rest.shift() !== '--server') throw refusal('only a client over SSH is served');
  const sender = rest[0] === '--sender';
  if (sender) rest.shift();
  const short = readShort(rest.shift() ?? '');
  const [path = '', dot] = rest.splice(-2).reverse();
  if (dot !== '.') throw refusal('it takes one repository, and nothing beside it');
  const options = readLong(rest, sender);
  const { repo, name, content } = readPath(path);
  return {
    action: 'rsync',
    path: repo,
    right: sender ? 'read' : 'write',
    request: {
      ...{ sender, ...short, options, name, content: content || !sender },
      deletes: options.some((option) => deleting.includes(option)),
    },
  };
}

function readShort(word: string): Pick<PlainRsync, 'short' | 'dryRun'> {
  const [, given = '', protocol] = /^-([a-zA-Z]+?)(e\d*(?:\.\d*)?\.[iLsfxCIvu]*)$/.exec(word) ?? [];
  const letters = given.replace(/^vv/, 'v');
  const known = [...letters].every((flag) => flags.includes(flag));
  const once = new Set(letters).size === letters.length;
  if (protocol !== undefined && known && once && letters.includes('r')) {
    return { short: `-${given}${protocol}`, dryRun: letters.includes('n') };
  }
  throw refusal(`${quoted(word)} is not among its flags`);
}

function readLong(words: readonly string[], sender: boolean): readonly string[] {
  const seen = new Set<string>();
  for (const word of words) {
    const [name = '', value] = word.split(/=(.*)/s, 2);
    const sound =
      plain.includes(word) ||
      (!sender && receiving.includes(word)) ||
      (value !== undefined && Object.hasOwn(long, name) && long[name]?.test(value) === true);
    if (!sound || seen.has(name)) throw refusal(`${quoted(word)} is not among its flags`);
    seen.add(name);
  }
  return words;
}

/** @returns the repository; its last part as it was asked for; whether what is in it is meant, and not the folder itself */
function readPath(path: string): { repo: RepoPath; name: string; content: boolean } {
  const repo = parseRepoPath(path);
  const bare = path.replace(/\/$/, '');
  const name = bare.split('/').at(-1) ?? '';
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return { repo, name, content: path !== bare };
  throw refusal(`${quoted(path)} is no repository`);
}

function refusal(why: string): UserError {
  return new UserError('usage', `rsync: ${why}`, {
    hint: 'take: rsync -avz --delete cpm@SERVER:NAMESPACE/NAME.git/ NAME.git/',
  });
}
