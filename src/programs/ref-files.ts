import { createHash } from 'node:crypto';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * What the files that hold a repository's refs look like from outside: their times, sizes and inodes. Another print
 * means that somebody wrote there; it costs no process and reads no file.
 */
export async function refFilesPrint(directory: string): Promise<string> {
  const hash = createHash('sha256');
  for (const path of [...['HEAD', 'packed-refs'], ...(await filesUnder(directory, 'refs'))]) {
    const found = await lstat(join(directory, path), { bigint: true }).catch(() => undefined);
    hash.update(found ? `${path} ${found.mtimeNs} ${found.size} ${found.ino}\n` : `${path}\n`);
  }
  return hash.digest('hex');
}

/** Those of cpm's own are its own business. */
async function filesUnder(directory: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch(() => []);
  const paths: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = `${folder}/${entry.name}`;
    if (path === 'refs/cpm') continue;
    if (entry.isDirectory()) paths.push(...(await filesUnder(directory, path)));
    else paths.push(path);
  }
  return paths;
}
