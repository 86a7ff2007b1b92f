import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Bytes of all files below a folder, as they are long; what vanishes meanwhile counts nothing.
 *
 * @param leavesOut - asked of each folder below, by its path: whether it is not looked into
 */
export async function sizeOfTree(
  directory: string,
  leavesOut: (folder: string) => boolean = () => false,
): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += leavesOut(path) ? 0 : await sizeOfTree(path, leavesOut);
    else if (entry.isFile()) {
      bytes += await stat(path).then(
        ({ size }) => size,
        () => 0,
      );
    }
  }
  return bytes;
}

const lookMs = 200;

/** What may lie below a folder, and what must stay free on its disk; in bytes. */
interface SizeBounds {
  readonly directory: string;
  readonly limitBytes: number;
  /** Nothing need stay free, without. */
  readonly reserveBytes?: number;
}

/**
 * Looks again and again whether the files below a folder are more than they may be, or their disk is all but full.
 *
 * @param onOver - told once
 * @returns the function that ends the looking
 */
export function guardSize(
  { directory, limitBytes, reserveBytes = 0 }: SizeBounds,
  onOver: () => void,
): () => void {
  let busy = false;
  const look = async () => {
    if (busy) return;
    busy = true;
    const bytes = await sizeOfTree(directory);
    const isFull = reserveBytes > 0 && (await freeBytes(directory)) < reserveBytes;
    busy = false;
    if (bytes <= limitBytes && !isFull) return;
    clearInterval(timer);
    onOver();
  };
  const timer = setInterval(() => void look(), lookMs).unref();
  return () => clearInterval(timer);
}

/** Infinity where the folder is gone: it does not fill a disk. */
async function freeBytes(directory: string): Promise<number> {
  return statfs(directory).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => Number.POSITIVE_INFINITY,
  );
}
