import { createHash } from 'node:crypto';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** What the files that hold a repository's refs look like from outside. */
export interface RefFiles {
  /** A digest of their names, times, sizes and inodes. */
  readonly print: string;
  /** When the newest of them was written, in milliseconds of the system's clock; 0 where there is none. */
  readonly newestMs: number;
}

/** Files that are looked at at one time. */
const atOnce = 64;

/**
 * Looks at the files that hold a repository's refs. Another print means that somebody wrote there; it costs no process
 * and reads no file.
 */
export async function lookAtRefFiles(directory: string): Promise<RefFiles> {
  const paths = [...['HEAD', 'packed-refs'], ...(await filesUnder(directory, 'refs'))];
  const hash = createHash('sha256');
  let newestMs = 0;
  for (let from = 0; from < paths.length; from += atOnce) {
    const some = paths.slice(from, from + atOnce);
    const found = await Promise.all(
      some.map((path) => lstat(join(directory, path), { bigint: true }).catch(() => undefined)),
    );
    for (const [nth, path] of some.entries()) {
      const file = found[nth];
      hash.update(file ? `${path} ${file.mtimeNs} ${file.size} ${file.ino}\n` : `${path}\n`);
      newestMs = Math.max(newestMs, Number(file?.mtimeMs ?? 0));
    }
  }
  return { print: hash.digest('hex'), newestMs };
}

/** The print alone. @see lookAtRefFiles */
export async function refFilesPrint(directory: string): Promise<string> {
  return (await lookAtRefFiles(directory)).print;
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
