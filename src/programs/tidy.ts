import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './bare.ts';
import type { Git } from './git.ts';
import { type Watch, watch } from './watched.ts';

/** How much of a repository lies about unpacked. */
export interface Stock {
  readonly looseObjects: number;
  /** But for the one of objects that nothing leads to. */
  readonly packs: number;
  readonly looseRefs: number;
}

/** Counts what maintenance packs, by the names in folders alone. */
export async function takeStock(directory: string): Promise<Stock> {
  const objects = join(directory, 'objects');
  let looseObjects = 0;
  for (const name of await list(objects)) {
    if (/^[0-9a-f]{2}$/.test(name)) looseObjects += (await list(join(objects, name))).length;
  }
  const names = new Set(await list(join(objects, 'pack')));
  const packs = [...names].filter(
    (name) => name.endsWith('.pack') && !names.has(name.replace(/pack$/, 'mtimes')),
  );
  return {
    looseObjects,
    packs: packs.length,
    looseRefs: await filesUnder(join(directory, 'refs')),
  };
}

async function filesUnder(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  let files = 0;
  for (const entry of entries) {
    if (entry.isDirectory()) files += await filesUnder(join(folder, entry.name));
    else files += 1;
  }
  return files;
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** From these numbers on a fetch costs twice as much and more: measured on a repository after 1,000 pushes. */
const enough: Stock = { looseObjects: 500, packs: 20, looseRefs: 200 };

/** Whether packing is worth its price. */
export function isUntidy({ looseObjects, packs, looseRefs }: Stock): boolean {
  return (
    looseObjects >= enough.looseObjects || packs >= enough.packs || looseRefs > enough.looseRefs
  );
}

/** So old is what a git that was killed left half-written. */
const staleMs = 24 * 3600 * 1000;

/**
 * Packs a repository while it is in use: objects geometrically with a bitmap, the commit graph, the refs. Whatever
 * objects there are stay, reachable or not.
 *
 * @throws Error when git fails, the signal's reason on abort; the repository is whole all the same
 */
export async function tidy(git: Git, directory: string, watching: Watch): Promise<void> {
  const run = async (args: readonly string[]) => {
    const { status, lines } = await watch(git, args, { ...watching, cwd: directory, gently: true });
    if (status !== 0) throw new Error(`git ${args[0]} ended with ${status}: ${lines.join('; ')}`);
  };
  await removeStale(join(directory, 'objects/pack'));
  const { looseObjects, packs } = await takeStock(directory);
  if (looseObjects + packs > 0) {
    const show = watching.progress === undefined ? ['-q'] : [];
    await run([
      'repack',
      '-d',
      '-l',
      ...show,
      '--geometric=2',
      '--write-midx',
      '--write-bitmap-index',
    ]);
    await syncDirectory(join(directory, 'objects/pack'));
    await run([
      'commit-graph',
      'write',
      '--reachable',
      '--split',
      '--changed-paths',
      '--no-progress',
    ]);
  }
  // First written and synced, then the loose ones taken away: a crash leaves each ref at one of its places.
  await run(['pack-refs', '--all', '--no-prune']);
  await syncDirectory(directory);
  // A ref that moves meanwhile stays loose, and git says so: no fault.
  await watch(git, ['pack-refs', '--all', '--prune'], {
    ...watching,
    cwd: directory,
    gently: true,
  });
  await syncDirectory(directory);
}

/** A repack that was killed leaves its packs under other names, or without an index, which nobody takes up again. */
async function removeStale(packs: string): Promise<void> {
  const names = new Set(await list(packs));
  for (const name of names) {
    const isPart = /^pack-.*\.(pack|mtimes|rev)$/.test(name);
    const isWhole = isPart && names.has(`${name.slice(0, name.lastIndexOf('.'))}.idx`);
    if (isWhole || !(isPart || /^(tmp_|\.tmp-)/.test(name))) continue;
    const path = join(packs, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > staleMs)
      await rm(path, { force: true });
  }
}
