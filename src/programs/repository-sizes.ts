import { join, sep } from 'node:path';
import { KnownFolders, lookAtFolder } from './folders.ts';
import { isFanOut } from './objects.ts';
import { sizeOfTree } from './size.ts';

/** What a folder of loose objects held when it looked so. */
interface Held {
  readonly print: string;
  readonly bytes: number;
}

/** Folders that are looked at at one time. */
const atOnce = 64;

/**
 * Measures repositories again and again. Up to 256 folders hold a repository's loose objects, and reading them is nearly
 * all of what measuring costs. An object never changes, and it gets its name once it is whole: so a folder in which no
 * name came or went since it was read holds as many bytes as then.
 */
export class RepositorySizes {
  readonly #held = new KnownFolders<Held>();
  readonly #now: () => number;

  /** @param now - epoch milliseconds; the machine's unless given */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Bytes of all files of a bare repository. @see sizeOfTree */
  async measure(directory: string): Promise<number> {
    const objects = `${join(directory, 'objects')}${sep}`;
    const fanOuts: string[] = [];
    let bytes = await sizeOfTree(directory, (folder) => {
      const isLoose = folder.startsWith(objects) && isFanOut(folder.slice(objects.length));
      if (isLoose) fanOuts.push(folder);
      return isLoose;
    });
    const held = this.#held.of(directory);
    for (let from = 0; from < fanOuts.length; from += atOnce) {
      const some = fanOuts.slice(from, from + atOnce);
      const found = await Promise.all(some.map((folder) => this.#bytesIn(folder, held)));
      bytes += found.reduce((sum, each) => sum + each, 0);
    }
    return bytes;
  }

  async #bytesIn(folder: string, held: Map<string, Held>): Promise<number> {
    const look = await lookAtFolder(folder, this.#now());
    const known = held.get(folder);
    if (look !== undefined && known !== undefined && known.print === look.print) return known.bytes;
    held.delete(folder);
    const bytes = await sizeOfTree(folder);
    if (look?.print !== undefined) held.set(folder, { print: look.print, bytes });
    return bytes;
  }
}
