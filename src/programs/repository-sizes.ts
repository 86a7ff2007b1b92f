import { lstat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { sizeOfTree } from './size.ts';

/** What a folder of loose objects held. */
interface Folder {
  readonly bytes: number;
  /** Its `ctime` in milliseconds, when a name in it last came or went; undefined where one may just be coming. */
  readonly changedMs: number | undefined;
}

type Folders = Map<string, Folder>;

/** Folders that are looked at at one time. */
const atOnce = 64;

/** Repositories whose folders are remembered: at most 256 folders of each. */
const mostRemembered = 64;

/** A name that comes within one tick of the file system's clock after another changes no time: ticks are 10 ms at most. */
const freshMs = 100;

/**
 * Measures repositories again and again. Up to 256 folders hold a repository's loose objects, and reading them is nearly
 * all of what measuring costs. An object never changes, and it gets its name once it is whole: so a folder in which no
 * name came or went since it was read holds as many bytes as then.
 */
export class RepositorySizes {
  /** By directory, those measured last at the end. */
  readonly #remembered = new Map<string, Folders>();
  readonly #now: () => number;

  /** @param now - epoch milliseconds; the machine's unless given */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Bytes of all files of a bare repository. @see sizeOfTree */
  async measure(directory: string): Promise<number> {
    const objects = `${join(directory, 'objects')}${sep}`;
    const paths: string[] = [];
    const otherBytes = await sizeOfTree(directory, (folder) => {
      const isOfLoose = folder.startsWith(objects) && isFanOut(folder.slice(objects.length));
      if (isOfLoose) paths.push(folder);
      return isOfLoose;
    });
    const before: Folders = this.#remembered.get(directory) ?? new Map();
    const now: Folders = new Map();
    let looseBytes = 0;
    for (let from = 0; from < paths.length; from += atOnce) {
      const some = paths.slice(from, from + atOnce);
      const found = await Promise.all(some.map((path) => this.#look(path, before.get(path))));
      for (const [nth, path] of some.entries()) {
        const folder = found[nth];
        if (folder === undefined) continue;
        looseBytes += folder.bytes;
        now.set(path, folder);
      }
    }
    this.#remember(directory, now);
    return otherBytes + looseBytes;
  }

  /** @returns undefined where the folder is gone */
  async #look(path: string, before: Folder | undefined): Promise<Folder | undefined> {
    const freshFromMs = this.#now() - freshMs;
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) return undefined;
    if (before?.changedMs === found.ctimeMs) return before;
    const bytes = await sizeOfTree(path);
    return { bytes, changedMs: found.ctimeMs > freshFromMs ? undefined : found.ctimeMs };
  }

  #remember(directory: string, folders: Folders): void {
    this.#remembered.delete(directory);
    this.#remembered.set(directory, folders);
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= mostRemembered) return;
      this.#remembered.delete(oldest);
    }
  }
}

/** Whether a folder below `objects` is one of loose objects. @see gitrepository-layout(5) */
function isFanOut(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}
