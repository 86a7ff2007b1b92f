import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Removes what a killed git leaves in a bare repository: quarantines of pushes, lock files, half-written packs and
 * objects. Only for a repository in which no git runs: a living one's locks look the same.
 *
 * @returns the removed paths, relative to the repository
 */
export async function sweepQuarantine(directory: string): Promise<string[]> {
  const found = [
    ...(await named(directory, '', isLock)),
    ...(await named(directory, 'objects', (name) => name.startsWith('tmp_'))),
    ...(await named(directory, 'objects/pack', (name) => name.startsWith('tmp_') || isLock(name))),
    ...(await keptForPushes(directory)),
    ...(await named(directory, 'objects/info', isLock)),
    ...(await named(directory, 'objects/info/commit-graphs', isLock)),
    ...(await locksUnder(directory, 'refs')),
  ];
  for (const path of found) await rm(join(directory, path), { recursive: true, force: true });
  return found;
}

function isLock(name: string): boolean {
  return name.endsWith('.lock') || name === 'packed-refs.new';
}

/** A push's pack is kept from repacking until its refs are written; git says in the file that it was a push. */
async function keptForPushes(directory: string): Promise<string[]> {
  const kept = await named(directory, 'objects/pack', (name) => name.endsWith('.keep'));
  const ours = await Promise.all(
    kept.map((path) => readFile(join(directory, path), 'utf8').catch(() => '')),
  );
  return kept.filter((_, at) => ours[at]?.startsWith('receive-pack '));
}

async function named(
  directory: string,
  folder: string,
  wanted: (name: string) => boolean,
): Promise<string[]> {
  const names = await readdir(join(directory, folder)).catch(() => []);
  return names.filter(wanted).map((name) => join(folder, name));
}

async function locksUnder(directory: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...(await locksUnder(directory, path)));
    // No ref's name may end so: such a file is a lock and nothing else.
    else if (entry.name.endsWith('.lock')) found.push(path);
  }
  return found;
}
