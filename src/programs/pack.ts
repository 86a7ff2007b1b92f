import { createHash } from 'node:crypto';
import { constants, createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Relation } from '../model/sync-plan.ts';
import { type Git, refuseKilled } from './git.ts';
import { type Program, send } from './run.ts';

/** A pack as it lies in a session directory. */
export interface PackFile {
  /** `pack-<sha256>.pack` */
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
}

/**
 * Writes one pack with what `wants` reach and `haves` do not, as another server needs it that has the latter.
 *
 * @param folder - where the file goes, under a name made of its content
 * @param scratch - an object directory to be read besides
 * @throws Error when git fails; the signal's reason on abort
 */
export async function writePack(
  git: Git,
  directory: string,
  {
    wants,
    haves,
    folder,
    scratch,
    signal,
  }: {
    readonly wants: readonly string[];
    readonly haves: readonly string[];
    readonly folder: string;
    readonly scratch?: string;
    readonly signal: AbortSignal;
  },
): Promise<PackFile> {
  const args = ['pack-objects', '-q', '--revs', '--thin', '--delta-base-offset', '--stdout'];
  const child = git.start(args, { cwd: directory, scratch });
  const staged = join(folder, 'pack.new');
  const hash = createHash('sha256');
  let bytes = 0;
  const file = createWriteStream(staged, { flags: 'wx', mode: 0o600 });
  const written = new Promise<void>((resolve, reject) => {
    const onError = (error: Error) => {
      child.end();
      reject(error);
    };
    file.once('error', onError).once('close', resolve);
  });
  child.stdin.end([...wants, '--not', ...haves, ''].join('\n'));
  child.stdout.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  child.stdout.pipe(file);
  await Promise.all([written, ended(child, 'pack-objects', signal)]);
  const sha256 = hash.digest('hex');
  const name = `pack-${sha256}.pack`;
  await rename(staged, join(folder, name));
  return { name, sha256, bytes };
}

/**
 * Waits for a git program.
 *
 * @throws Error with its words when it fails; UserError `unavailable` when it was killed; the signal's reason on abort
 */
async function ended(child: Program, name: string, signal: AbortSignal): Promise<void> {
  let said = '';
  child.stderr.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-4096);
  });
  const onAbort = () => child.end();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const exit = await child.exited;
  signal.removeEventListener('abort', onAbort);
  signal.throwIfAborted();
  refuseKilled(exit);
  if (exit.status !== 0) throw new Error(`git ${name} ended with ${exit.status}: ${said.trim()}`);
}

/** Opens a file of a session without following links. @throws Error unless it is a plain file of its own */
export async function openPlain(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const found = await file.stat();
  if (found.isFile() && found.nlink === 1) return file;
  await file.close();
  throw new Error('it is not a plain file');
}

/** The SHA-256 of an open file, in hexadecimal. */
export async function sha256Of(file: FileHandle): Promise<string> {
  const hash = createHash('sha256');
  const input = createReadStream('', { fd: file, autoClose: false, start: 0 });
  for await (const chunk of input) hash.update(chunk);
  return hash.digest('hex');
}

/**
 * Checks a pack and writes it, with an index of our own making, into an object directory of its own
 * (admission A4).
 *
 * @param pack - read from its beginning, as long as it is now
 * @param scratch - the object directory, laid out as git's own; the repository's own without one
 * @param isPart - what its objects lead to may be elsewhere, and they are not looked into
 * @throws Error with git's words when it does not take the pack
 */
export async function indexPack(
  git: Git,
  directory: string,
  {
    pack,
    scratch,
    isPart = false,
    signal,
  }: {
    readonly pack: FileHandle;
    readonly scratch?: string | undefined;
    readonly isPart?: boolean;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  // Faults that old, honest histories carry.
  const spared = ['zeroPaddedFilemode', 'badTimezone', 'missingSpaceBeforeDate'];
  const strict = `--strict=${spared.map((each) => `${each}=ignore`).join(',')}`;
  const { size } = await pack.stat();
  const checks = isPart ? [] : [strict, '--fix-thin'];
  const args = ['index-pack', ...checks, '--stdin', `--max-input-size=${size}`];
  // What is bigger is hashed as it passes, and not kept in memory.
  const config = { 'core.bigFileThreshold': '32m' };
  const child = git.start(args, { cwd: directory, scratch, bounded: true, config });
  const over = ended(child, 'index-pack', signal);
  // It may fail while the pack is still passed on, when nobody waits for it yet: that must not end the server.
  over.catch(() => undefined);
  child.stdout.resume();
  const input = createReadStream('', { fd: pack, autoClose: false, start: 0 });
  try {
    for await (const chunk of input) if (!(await send(child, chunk as Buffer))) break;
  } finally {
    child.stdin.end();
  }
  await over;
}

/** New commits, each with its parents: as many of them as were asked for, and not all there are. */
export type NewCommits = ReadonlyMap<string, readonly string[]>;

/**
 * Whether everything that some tips reach is there (admission A5).
 *
 * @param scratch - the object directory with what is new; undefined where nothing is
 * @param atMost - so many of the commits that no ref reaches are told; none without it
 * @throws Error with git's words when something lacks
 */
export async function checkConnected(
  git: Git,
  directory: string,
  {
    tips,
    scratch,
    atMost = 0,
    signal,
  }: {
    readonly tips: readonly string[];
    readonly scratch: string | undefined;
    readonly atMost?: number;
    readonly signal: AbortSignal;
  },
): Promise<NewCommits> {
  const shown = atMost === 0 ? ['--quiet'] : ['--parents', '--no-object-names'];
  const args = ['rev-list', '--objects', '--stdin', '--not', '--all', ...shown];
  const child = git.start(args, { cwd: directory, scratch });
  const over = ended(child, 'rev-list', signal);
  // It may fail while its lines are still read, when nobody waits for it yet.
  over.catch(() => undefined);
  child.stdin.end(tips.map((oid) => `${oid}\n`).join(''));
  const commits = new Map<string, readonly string[]>();
  for await (const line of createInterface({ input: child.stdout })) {
    // Whatever is no commit, or has no parent, is one word.
    const [oid = '', ...parents] = line.split(' ');
    if (parents.length > 0 && commits.size < atMost) commits.set(oid, parents);
  }
  await over;
  return commits;
}

/** Whether new commits alone lead from theirs to ours: then it lies ahead. Where they don't, git is to tell. */
export function isForward(
  commits: NewCommits,
  { mine, theirs }: { mine: string; theirs: string },
): boolean {
  const reached = new Set([theirs]);
  for (const oid of reached) {
    const parents = commits.get(oid) ?? [];
    if (parents.includes(mine)) return true;
    for (const parent of parents) reached.add(parent);
  }
  return false;
}

/** How another value of a ref lies to ours; what is no commit lies apart. */
export async function relationOf(
  git: Git,
  directory: string,
  { mine, theirs, scratch }: { mine: string; theirs: string; scratch: string | undefined },
): Promise<Relation> {
  if (mine === theirs) return 'same';
  const isAncestor = async (one: string, other: string) => {
    const args = ['merge-base', '--is-ancestor', one, other];
    return (await git.run(args, { cwd: directory, scratch })).status === 0;
  };
  if (await isAncestor(mine, theirs)) return 'ahead';
  return (await isAncestor(theirs, mine)) ? 'behind' : 'apart';
}

/** Removes a scratch object directory. */
export async function removeScratch(scratch: string): Promise<void> {
  await rm(scratch, { recursive: true, force: true });
}
