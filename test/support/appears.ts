import { once } from 'node:events';
import { existsSync, readdirSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

const patienceMs = 20_000;

/** Waits until a folder has an entry of that name, or that begins so. @throws when that takes longer than 20 s */
export async function entryIn(folder: string, name: string): Promise<void> {
  const watcher = watch(folder);
  const signal = AbortSignal.timeout(patienceMs);
  try {
    while (!readdirSync(folder).some((entry) => entry.startsWith(name))) {
      await once(watcher, 'change', { signal });
    }
  } finally {
    watcher.close();
  }
}

/** Waits until a path is there, its folders too. @throws when one of them takes longer than 20 s */
export async function appears(path: string): Promise<void> {
  const parent = dirname(path);
  if (!existsSync(parent)) await appears(parent);
  await entryIn(parent, basename(path));
}
