import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { isFanOut, syncObjects } from './objects.ts';

/**
 * Moves the objects of a scratch object directory into a repository, durably. Readers see them whole or not at all: of
 * a pack its index, without which git does not know it, comes last.
 *
 * @param quarantine - laid out as git's own: `xx/…`, `pack/…`; on the same file system, its files synced
 */
export async function admitObjects(quarantine: string, directory: string): Promise<void> {
  const objects = join(directory, 'objects');
  const folders = (await readdir(quarantine)).filter((name) => /^([0-9a-f]{2}|pack)$/.test(name));
  for (const folder of folders) {
    await mkdir(join(objects, folder), { recursive: true, mode: 0o700 });
    const names = await readdir(join(quarantine, folder));
    const indexLast = names.sort((one, other) => Number(isIndex(one)) - Number(isIndex(other)));
    for (const name of indexLast) {
      await rename(join(quarantine, folder, name), join(objects, folder, name));
    }
  }
  await syncObjects(directory, folders.filter(isFanOut));
}

function isIndex(name: string): boolean {
  return name.endsWith('.idx');
}
