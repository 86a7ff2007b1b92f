/** What the ids of one server are on another. Most are the same: only what was there before has its own. */
export interface Mapped {
  toLocal(id: string): string;
  toRemote(id: string): string;
}

/** A server's own ids. */
export const plain: Mapped = { toLocal: (id) => id, toRemote: (id) => id };

/** @param pairs - the ids that differ: there, and here */
export function mapped(pairs: Iterable<readonly [remote: string, local: string]>): Mapped {
  const toLocal = new Map(pairs);
  const toRemote = new Map([...toLocal].map(([remote, local]) => [local, remote]));
  return {
    toLocal: (id) => toLocal.get(id) ?? id,
    toRemote: (id) => toRemote.get(id) ?? id,
  };
}
