import { statfs } from 'node:fs/promises';
import { UserError } from '../model/errors.ts';
import { sizeText } from '../model/units.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Sizes } from './sizes.ts';

/** How much may be stored; Infinity where there is no bound. */
export interface RoomLimits {
  /** Bytes of the disk that are left free. */
  readonly diskReserveBytes: number;
  readonly namespaceBytes: number;
  readonly reposPerUser: number;
}

interface Growing {
  readonly repo: Pick<Repository, 'id' | 'namespaceId'>;
  readonly directory: string;
}

/** Whether there is room for more, asked before anything is read that would need it (S26). */
export class Room {
  readonly limits: RoomLimits;
  readonly #store: Store;
  readonly #sizes: Sizes;
  readonly #dataDir: string;
  readonly #growing = new Set<Growing>();

  constructor(parts: { store: Store; sizes: Sizes; dataDir: string }, limits: RoomLimits) {
    this.limits = limits;
    this.#store = parts.store;
    this.#sizes = parts.sizes;
    this.#dataDir = parts.dataDir;
  }

  /** @throws UserError `unavailable` when the disk of the data directory is below the reserve */
  async onDisk(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#dataDir);
    const free = bavail * bsize;
    const reserve = this.limits.diskReserveBytes;
    if (free >= reserve) return;
    throw new UserError(
      'unavailable',
      `the disk is full: ${sizeText(free)} free, ${sizeText(reserve)} are kept in reserve (limits.disk_reserve)`,
      { hint: 'reading and deleting go on; ask the operator of this server for more space' },
    );
  }

  /** The biggest pack that a sync may bring: beside the reserve there must be room for it twice, as it came and checked. */
  async forPack(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#dataDir);
    return Math.max(0, Math.floor((bavail * bsize - this.limits.diskReserveBytes) / 2));
  }

  /** @throws UserError `unavailable` when there is no room for a pack of that size */
  async forSync(bytes: number): Promise<void> {
    await this.onDisk();
    const most = await this.forPack();
    if (bytes > most) throw tooBig(bytes, most, 'here');
  }

  /** @throws UserError `unavailable` when what a namespace's repositories take is over its quota */
  async inNamespace({ id, name }: { id: string; name: string }): Promise<void> {
    const quota = this.limits.namespaceBytes;
    if (quota === Number.POSITIVE_INFINITY) return;
    for (const { repo, directory } of this.#growing) {
      if (repo.namespaceId === id) this.#sizes.changed(repo, directory);
    }
    await this.#sizes.flush();
    const used = await this.#store.usage.bytesIn(id);
    if (used < quota) return;
    throw new UserError(
      'unavailable',
      `${name}: ${sizeText(used)} are in use, ${sizeText(quota)} are allowed (limits.namespace_bytes)`,
      { hint: 'reading and deleting refs go on; ask the operator of this server for more' },
    );
  }

  /**
   * Counts what a push brings while it is under way, too.
   *
   * @returns the function that says that it has ended
   */
  grows(repo: Growing['repo'], directory: string): () => void {
    if (this.limits.namespaceBytes === Number.POSITIVE_INFINITY) return () => undefined;
    const growing = { repo, directory };
    this.#growing.add(growing);
    return () => {
      if (this.#growing.delete(growing)) this.#sizes.changed(repo, directory);
    };
  }
}

/** A pack for which a disk has no room. @param where - `here`, `on b` */
export function tooBig(bytes: number, most: number, where: string): UserError {
  const sizes = `${sizeText(bytes)} are to come, ${sizeText(most)} may (twice that must be free)`;
  return new UserError('unavailable', `there is no room for it ${where}: ${sizes}`, {
    hint: 'ask the operator for more space, then run it again',
  });
}
