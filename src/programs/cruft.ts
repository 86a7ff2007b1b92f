import { open, readdir, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { syncDirectory } from './bare.ts';
import type { Git } from './git.ts';
import type { Scratch } from './scratch.ts';
import { type Watch, watch } from './watched.ts';

/** What is to take the place of packs with objects that nothing leads to. */
export interface Prepared {
  /** The names of those packs, without an ending. */
  readonly old: readonly string[];
  /** Absolute path, without an ending, of a pack of those that stay; undefined where none does. */
  readonly rest: string | undefined;
  /** How many objects go. */
  readonly objects: number;
  /** Epoch milliseconds of the oldest that stays; undefined where none does. */
  readonly oldestMs: number | undefined;
}

const suffixes = ['.rev', '.mtimes', '.pack', '.idx'];

/**
 * Packs a repository anew while it is in use: what refs lead to into one pack, all else into another, which knows of each
 * object since when nothing leads to it. Nothing is lost.
 *
 * @param nowMs - epoch milliseconds
 * @throws Error when git fails, the signal's reason on abort; the repository is whole all the same
 */
export async function setApart(
  git: Git,
  directory: string,
  { nowMs, ...watching }: Watch & { readonly nowMs: number },
): Promise<void> {
  const folder = join(directory, 'objects/pack');
  // git takes the time of a pack for that of its objects: for those that nothing leads to any more, it begins now.
  const cruft = new Set(await cruftPacks(directory));
  const now = new Date(nowMs);
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.pack') || cruft.has(name.slice(0, -'.pack'.length))) continue;
    await utimes(join(folder, name), now, now);
  }
  const show = watching.progress === undefined ? ['-q'] : [];
  const repack = ['repack', '-a', '-d', '-l', ...show, '--cruft'];
  await gently(git, directory, [...repack, '--write-midx', '--write-bitmap-index'], watching);
  await syncDirectory(folder);
  // One that knew commits of which some are to go would be faulty then.
  const graph = ['commit-graph', 'write', '--reachable', '--split=replace', '--changed-paths'];
  await gently(git, directory, [...graph, '--no-progress'], watching);
}

async function gently(git: Git, cwd: string, args: readonly string[], watching: Watch) {
  const { status, lines } = await watch(git, args, { ...watching, cwd, gently: true });
  if (status !== 0) throw new Error(`git ${args[0]} ended with ${status}: ${lines.join('; ')}`);
}

/** The packs that hold what nothing leads to, by their names without an ending. */
async function cruftPacks(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, 'objects/pack'));
  const ending = '.mtimes';
  return names.filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length));
}

/**
 * Prepares the end of objects that nothing has led to since before a moment: in the scratch directory, the repository
 * stays as it is. Objects that younger ones lead to stay with these.
 *
 * @param beforeMs - epoch milliseconds
 */
export async function prepareEnd(
  git: Git,
  { directory, path, signal }: Scratch,
  beforeMs: number,
): Promise<Prepared> {
  const old = await cruftPacks(directory);
  if (old.length === 0) return { old, rest: undefined, objects: 0, oldestMs: undefined };
  const folder = join(directory, 'objects/pack');
  const packs = (await readdir(folder)).filter((name) => name.endsWith('.pack'));
  const input = packs
    .map((name) => (old.includes(name.slice(0, -'.pack'.length)) ? `-${name}\n` : `${name}\n`))
    .join('');
  const since = new Date(beforeMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const { status, stdout, stderr } = await git.run(
    [
      ...['pack-objects', '--cruft', `--cruft-expiration=${since}`, '-q', '--non-empty'],
      join(path, 'pack'),
    ],
    { cwd: directory, input, signal, timeoutMs: longestMs },
  );
  if (status !== 0) throw new Error(`git pack-objects ended with ${status}: ${stderr}`);
  const name = stdout.toString().trim();
  const rest = name === '' ? undefined : join(path, `pack-${name}`);
  const had = await Promise.all(old.map((each) => countIn(join(folder, each))));
  const left = rest === undefined ? 0 : await countIn(rest);
  const oldestMs = rest === undefined ? undefined : await oldestIn(rest);
  return { old, rest, objects: had.reduce((sum, one) => sum + one, 0) - left, oldestMs };
}

/** A traversal of all that stays. */
const longestMs = 3_600_000;

/**
 * Whether what is to go is still reached by nothing and is still there as it was: refs may have moved since it was
 * found. For one who has the repository alone.
 *
 * @param tips - oids that refs have got meanwhile; `known` those that they had before
 */
export async function mayEnd(
  git: Git,
  directory: string,
  prepared: Prepared,
  { tips, known }: { readonly tips: readonly string[]; readonly known: readonly string[] },
): Promise<boolean> {
  const now = await cruftPacks(directory);
  // A purge may have taken some out: what was prepared would bring it back.
  if (now.length !== prepared.old.length || prepared.old.some((name) => !now.includes(name))) {
    return false;
  }
  if (tips.length === 0) return true;
  const folder = join(directory, 'objects/pack');
  const old = await Promise.all(prepared.old.map((name) => readOids(join(folder, name))));
  const rest = prepared.rest === undefined ? undefined : await readOids(prepared.rest);
  const child = git.start(['rev-list', '--objects', '--no-object-names', '--stdin'], {
    cwd: directory,
  });
  child.stderr.resume();
  child.stdin.end([...tips, ...known.map((oid) => `^${oid}`)].map((oid) => `${oid}\n`).join(''));
  let isFree = true;
  for await (const line of createInterface({ input: child.stdout })) {
    const oid = Buffer.from(line, 'hex');
    isFree = !old.some((oids) => has(oids, oid)) || (rest !== undefined && has(rest, oid));
    if (!isFree) break;
  }
  if (!isFree) child.end();
  const { status } = await child.exited;
  return isFree && status === 0;
}

/** Ends what was prepared, durably. For one who has the repository alone. A crash leaves all or more of what stays. */
export async function endPrepared(directory: string, { old, rest }: Prepared): Promise<void> {
  const folder = join(directory, 'objects/pack');
  for (const name of await readdir(folder)) {
    if (name.startsWith('multi-pack-index')) await rm(join(folder, name), { force: true });
  }
  const name = rest === undefined ? undefined : `pack-${rest.slice(rest.lastIndexOf('pack-') + 5)}`;
  if (rest !== undefined && name !== undefined && !old.includes(name)) {
    for (const suffix of suffixes) {
      await rename(`${rest}${suffix}`, join(folder, `${name}${suffix}`)).catch(ifMissing);
    }
  }
  await syncDirectory(folder);
  for (const each of old) {
    if (each === name) continue;
    // Without its index a pack is nothing to git, whatever is left of it.
    for (const suffix of [...suffixes].reverse()) {
      await rm(join(folder, `${each}${suffix}`), { force: true });
    }
  }
  await syncDirectory(folder);
}

function ifMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

/** An index of version 2: a head, how many ids begin with each byte or less, the ids in order. */
const fanoutAt = 8;
const oidsAt = fanoutAt + 256 * 4;
const oidBytes = 20;

async function countIn(pack: string): Promise<number> {
  const head = await readPart(`${pack}.idx`, 0, oidsAt);
  return head.readUInt32BE(oidsAt - 4);
}

async function readOids(pack: string): Promise<Buffer> {
  return readPart(`${pack}.idx`, oidsAt, (await countIn(pack)) * oidBytes);
}

/** A head of 12 bytes, a time for each object, two sums. */
async function oldestIn(pack: string): Promise<number> {
  const times = await readPart(`${pack}.mtimes`, 12, (await countIn(pack)) * 4);
  let oldest = Number.POSITIVE_INFINITY;
  for (let at = 0; at < times.length; at += 4) oldest = Math.min(oldest, times.readUInt32BE(at));
  return oldest * 1000;
}

async function readPart(path: string, at: number, bytes: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, at);
    if (bytesRead < bytes) throw new Error(`${path} is too short`);
    return buffer;
  } finally {
    await file.close();
  }
}

function has(oids: Buffer, oid: Buffer): boolean {
  let low = 0;
  let high = oids.length / oidBytes;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = oids.compare(oid, 0, oidBytes, middle * oidBytes, (middle + 1) * oidBytes);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}
