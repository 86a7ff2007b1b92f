/** What the ids of one server are on another. Most are the same: only what was there before has its own. */
export interface Mapped {
  toLocal(id: string): string;
  toRemote(id: string): string;
}

/** A server's own ids. */
export const plain: Mapped = { toLocal: (id) => id, toRemote: (id) => id };
