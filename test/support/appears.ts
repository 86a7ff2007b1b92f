import { once } from 'node:events';
import { existsSync, readdirSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const patienceMs = 60_000;

/** Waits until a folder has an entry that is meant. @throws when that takes longer than 60 s */
export async function entryIn(folder: string, isMeant: (name: string) => boolean): Promise<void> {
  const watcher = watch(folder);
  const signal = AbortSignal.timeout(patienceMs);
  try {
    while (!readdirSync(folder).some(isMeant)) {
      await once(watcher, 'change', { signal });
    }
  } finally {
    watcher.close();
  }
}

/** Waits until a folder is empty. @throws when that takes longer than 60 s */
export async function emptied(folder: string): Promise<void> {
  const watcher = watch(folder);
  const signal = AbortSignal.timeout(patienceMs);
  try {
    while (readdirSync(folder).length > 0) await once(watcher, 'change', { signal });
  } finally {
    watcher.close();
  }
}

/** Waits until a path is there, its folders too. @throws when one of them takes longer than 60 s */
export async function appears(path: string): Promise<void> {
  const parent = dirname(path);
  if (!existsSync(parent)) await appears(parent);
  await entryIn(parent, (name) => name === basename(path));
}

/** Waits until git has begun to take a push in, in a repository that may be yet to come. @param directory - the bare one */
export async function quarantineIn(directory: string): Promise<void> {
  const objects = join(directory, 'objects');
  await appears(objects);
  await entryIn(objects, (name) => name.startsWith('tmp_objdir-incoming'));
}
