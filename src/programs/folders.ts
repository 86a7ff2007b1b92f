import { lstat } from 'node:fs/promises';

/** A folder as it looks from outside. */
interface FolderLook {
  /** The same as long as no name in it comes or goes; undefined where the next one might not show. */
  readonly print: string | undefined;
  readonly mtimeMs: number;
}

/** A name that comes within one tick of the file system's clock after another changes no time: 10 ms are the longest. */
const tickMs = 100;

/** Some file systems count whole seconds alone. */
const wholeSecondsMs = 2000;

/**
 * Looks at a folder, and reads nothing of it.
 *
 * @param nowMs - epoch milliseconds
 * @returns undefined where it is gone
 */
export async function lookAtFolder(path: string, nowMs: number): Promise<FolderLook | undefined> {
  try {
    const { ino, ctimeMs, mtimeMs } = await lstat(path);
    const freshMs = ctimeMs % 1000 === 0 ? wholeSecondsMs : tickMs;
    return { print: ctimeMs > nowMs - freshMs ? undefined : `${ino} ${ctimeMs}`, mtimeMs };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Repositories whose folders are remembered: some 256 of each. */
const mostRepositories = 64;

/** What is known of folders of repositories, by path; of those that were asked about last. */
export class KnownFolders<T> {
  readonly #known = new Map<string, Map<string, T>>();

  of(directory: string): Map<string, T> {
    const known = this.#known.get(directory) ?? new Map<string, T>();
    this.#known.delete(directory);
    this.#known.set(directory, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostRepositories) break;
      this.#known.delete(oldest);
    }
    return known;
  }
}
