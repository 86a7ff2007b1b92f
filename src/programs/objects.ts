import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './bare.ts';

/** Clocks of the file system are coarse, and may be set back a little meanwhile. */
const slackMs = 60_000;

/**
 * Makes the names of new objects durable: git syncs what it writes, but not the folders that it then moves it into.
 *
 * @param sinceMs - when the writing began; folders that have not changed since are left alone
 */
export async function syncObjects(directory: string, sinceMs: number): Promise<void> {
  const objects = join(directory, 'objects');
  const names = (await readdir(objects)).filter((name) => /^[0-9a-f]{2}$/.test(name));
  // Packs come after loose objects: what is packed meanwhile leaves its folder for theirs.
  const folders = [...names.map((name) => join(objects, name)), join(objects, 'pack'), objects];
  for (const folder of folders) {
    try {
      const { mtimeMs } = await stat(folder);
      if (mtimeMs >= sinceMs - slackMs) await syncDirectory(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}
