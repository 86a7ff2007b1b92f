import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes of all files below a folder, as they are long; what vanishes meanwhile counts nothing. */
export async function sizeOfTree(directory: string): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += await sizeOfTree(path);
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

/**
 * Looks again and again whether the files below a folder are more than they may be.
 *
 * @param onOver - told once
 * @returns the function that ends the looking
 */
export function guardSize(
  { directory, limitBytes }: { readonly directory: string; readonly limitBytes: number },
  onOver: () => void,
): () => void {
  let busy = false;
  const look = async () => {
    if (busy) return;
    busy = true;
    const bytes = await sizeOfTree(directory);
    busy = false;
    if (bytes <= limitBytes) return;
    clearInterval(timer);
    onOver();
  };
  const timer = setInterval(() => void look(), lookMs).unref();
  return () => clearInterval(timer);
}
