import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './bare.ts';
import { KnownFolders, lookAtFolder } from './folders.ts';

/** Clocks of the file system are coarse, and may be set back a little meanwhile. */
const slackMs = 60_000;

/** Folders that are looked at at one time. */
const atOnce = 64;

/** Whether a folder below `objects` is one of loose objects. @see gitrepository-layout(5) */
export function isFanOut(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}

/**
 * Makes the names of objects durable: git syncs what it writes, but not the folders that it then moves it into.
 *
 * @param fanOuts - names of folders of loose objects; all that there are unless given
 */
export async function syncObjects(directory: string, fanOuts?: readonly string[]): Promise<void> {
  const { loose, packs, objects } = await foldersOf(directory, fanOuts);
  for (const folder of [...loose, packs, objects]) await syncIfThere(folder);
}

/** Makes the names of new objects durable, again and again: of folders that no name came into it touches none twice. */
export class NewObjects {
  /** How a folder looked when all its names were durable. */
  readonly #durable = new KnownFolders<string>();

  /** @param sinceMs - when the writing began; of folders never seen before, those that had rested are left alone */
  async sync(directory: string, sinceMs: number): Promise<void> {
    const { loose, packs, objects } = await foldersOf(directory);
    const durable = this.#durable.of(directory);
    const sync = (folder: string) => syncChanged(folder, { durable, sinceMs });
    for (let from = 0; from < loose.length; from += atOnce) {
      await Promise.all(loose.slice(from, from + atOnce).map(sync));
    }
    await sync(packs);
    await sync(objects);
  }
}

/** Packs come after loose objects: what is packed meanwhile leaves its folder for theirs. */
async function foldersOf(directory: string, fanOuts?: readonly string[]) {
  const objects = join(directory, 'objects');
  const names = fanOuts ?? (await readdir(objects)).filter(isFanOut);
  return {
    loose: names.map((name) => join(objects, name)),
    packs: join(objects, 'pack'),
    objects,
  };
}

async function syncChanged(
  folder: string,
  { durable, sinceMs }: { durable: Map<string, string>; sinceMs: number },
): Promise<void> {
  // Looked at first: what comes into it meanwhile makes it look otherwise next time.
  const look = await lookAtFolder(folder, Date.now());
  const known = durable.get(folder);
  if (look === undefined || (known !== undefined && known === look.print)) return;
  const hasRested = known === undefined && look.mtimeMs < sinceMs - slackMs;
  if (!hasRested) await syncIfThere(folder);
  if (look.print === undefined) durable.delete(folder);
  else durable.set(folder, look.print);
}

async function syncIfThere(folder: string): Promise<void> {
  try {
    await syncDirectory(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
