import type { RefList } from '../model/sync-refs.ts';

/** Refs of all lists together that are kept in memory: some 3 MB. */
const mostRefs = 20_000;

/**
 * Lists of refs that were read or noted lately, by their digest. What a digest stands for never changes, so that what is
 * found here is the same as what would be read, whoever wrote it.
 */
export class KnownLists {
  readonly #lists = new Map<string, RefList>();
  #refs = 0;

  of(digest: string): RefList | undefined {
    const list = this.#lists.get(digest);
    if (list === undefined) return undefined;
    // Those that nobody asked for the longest go first.
    this.#lists.delete(digest);
    this.#lists.set(digest, list);
    return list;
  }

  /** @param list - must not be changed from now on */
  keep(digest: string, list: RefList): void {
    if (this.#lists.has(digest) || list.size > mostRefs) return;
    this.#lists.set(digest, list);
    this.#refs += list.size;
    for (const [oldest, { size }] of this.#lists) {
      if (this.#refs <= mostRefs) return;
      this.#lists.delete(oldest);
      this.#refs -= size;
    }
  }
}
