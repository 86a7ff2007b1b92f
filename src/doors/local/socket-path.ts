import { closeSync, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Where the server of a data directory listens for this machine's own. */
export function socketPath(dataDir: string): string {
  return join(dataDir, 'run', 'cpm.sock');
}

/** What `sun_path` of unix(7) holds, with a little to spare. */
const longestBytes = 100;

/**
 * Does something with the path of a Unix socket. A path too long for the kernel is named through its folder's file
 * descriptor, which Linux shows under /proc.
 */
export async function withSocketPath<T>(
  path: string,
  work: (path: string) => Promise<T>,
): Promise<T> {
  if (Buffer.byteLength(path) <= longestBytes) return work(path);
  const folder = openSync(dirname(path), 'r');
  try {
    return await work(`/proc/self/fd/${folder}/${basename(path)}`);
  } finally {
    closeSync(folder);
  }
}
