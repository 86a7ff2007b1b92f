import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Git } from './git.ts';

/** Where git works on a repository without changing it: what it writes lies in an object directory of its own. */
export interface Scratch {
  /** The bare repository. */
  readonly directory: string;
  /** The object directory; gone after `closeScratch`. */
  readonly path: string;
  /** Ends the work. */
  readonly signal: AbortSignal;
}

/** @param parent - a folder on the repository's file system, emptied after a crash */
export async function openScratch(
  parent: string,
  { directory, signal }: { readonly directory: string; readonly signal: AbortSignal },
): Promise<Scratch> {
  const path = join(parent, `scratch-${randomUUID()}`);
  await mkdir(path, { mode: 0o700 });
  return { directory, path, signal };
}

export async function closeScratch({ path }: Scratch): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/** From so many on, objects are better off in a pack. */
const packFrom = 100;

/** Files that are open at one time. */
const atOnce = 16;

/**
 * Gathers what a new commit consists of and the repository lacks, every file synced.
 *
 * @param known - commits of the repository, whose objects are all there
 * @returns an object directory in the scratch one, for `admitObjects`
 * @throws Error when git fails; the signal's reason
 */
export async function gatherObjects(
  git: Git,
  { directory, path, signal }: Scratch,
  { commit, known }: { readonly commit: string; readonly known: readonly string[] },
): Promise<string> {
  const listed = await git.run(
    ['rev-list', '--objects', '--no-object-names', commit, '--not', ...known],
    { cwd: directory, scratch: path, signal },
  );
  if (listed.status !== 0) throw new Error(`git rev-list ended with ${listed.status}`);
  const written = new Set(await looseIn(path));
  const needed = listed.stdout.toString().split('\n');
  const oids = needed.filter((oid) => written.has(oid));
  const gathered = join(path, 'gathered');
  await mkdir(join(gathered, 'pack'), { recursive: true, mode: 0o700 });
  if (oids.length < packFrom) {
    for (let at = 0; at < oids.length; at += atOnce) {
      await Promise.all(oids.slice(at, at + atOnce).map((oid) => moveSynced(oid, path, gathered)));
    }
    return gathered;
  }
  const packed = await git.run(['pack-objects', '-q', join(gathered, 'pack', 'pack')], {
    cwd: directory,
    scratch: path,
    input: oids.map((oid) => `${oid}\n`).join(''),
    signal,
  });
  if (packed.status !== 0) throw new Error(`git pack-objects ended with ${packed.status}`);
  return gathered;
}

async function looseIn(objects: string): Promise<readonly string[]> {
  const folders = (await readdir(objects)).filter((name) => /^[0-9a-f]{2}$/.test(name));
  const names = await Promise.all(folders.map((folder) => readdir(join(objects, folder))));
  return folders.flatMap((folder, at) => (names[at] ?? []).map((name) => `${folder}${name}`));
}

async function moveSynced(oid: string, from: string, to: string): Promise<void> {
  const folder = oid.slice(0, 2);
  const name = oid.slice(2);
  const file = await open(join(from, folder, name), 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await mkdir(join(to, folder), { recursive: true, mode: 0o700 });
  await rename(join(from, folder, name), join(to, folder, name));
}
