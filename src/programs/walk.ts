import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Something below a folder. */
export interface Found {
  /** Relative to the folder. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link' | 'other';
}

/** Everything below a folder, folders before what is in them; follows no link. @throws Error when it can't be read */
export async function* walk(directory: string, below = ''): AsyncGenerator<Found> {
  const entries = await readdir(join(directory, below), { withFileTypes: true });
  for (const entry of entries) {
    const path = join(below, entry.name);
    yield { path, kind: kindOf(entry) };
    if (entry.isDirectory()) yield* walk(directory, path);
  }
}

function kindOf(entry: Dirent): Found['kind'] {
  if (entry.isDirectory()) return 'folder';
  if (entry.isFile()) return 'file';
  return entry.isSymbolicLink() ? 'link' : 'other';
}
