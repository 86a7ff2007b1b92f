import { join } from 'node:path';
import type { Log } from '../log.ts';
import { entriesOf, moveDirectory } from '../programs/move.ts';
import type { Actor } from '../store/changes.ts';
import type { Move, Owner, Place } from '../store/moves.ts';
import type { Namespace } from '../store/names.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Locks } from './locks.ts';
import { holdNamespaces, movedMeanwhile, namespaceLock } from './namespaces.ts';
import { type Repos, readId } from './repos.ts';
import type { Room } from './room.ts';
import type { Sizes } from './sizes.ts';

/** How long a rename of a namespace waits for what runs in all its repositories together (S11). */
const waitMs = 30_000;
const pageRows = 500;

export interface RenameParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly locks: Locks;
  readonly room: Room;
  readonly sizes: Sizes;
  readonly dataDir: string;
  readonly log: Log;
}

/**
 * New names for repositories, users and orgs. Row and directory go together: a move is journaled, then the directory is
 * renamed within the transaction that changes the row. What a crash cuts off follows the row at the next start.
 */
export class Renames {
  readonly #parts: RenameParts;

  constructor(parts: RenameParts) {
    this.#parts = parts;
  }

  /**
   * @param to - whether it may go there has been decided
   * @returns whether anything changed
   * @throws UserError `conflict` when the name is taken, `unavailable` when others hold the repository for 30 s or there
   *   is no room in the new namespace
   */
  async repository(repo: Repository, to: Omit<Place, 'limit'>, by: Actor): Promise<boolean> {
    const { repos, store, room } = this.#parts;
    const { namespace, name } = to;
    const fullName = `${namespace.name}/${name}` as const;
    if (fullName === repo.fullName) return false;
    const moves = namespace.ownerId !== repo.namespaceId;
    if (moves) await room.inNamespace({ id: namespace.ownerId, name: namespace.name });
    const { namespaceKind: kind, namespaceId: ownerId } = repo;
    const from: Namespace = { name: repo.namespace, kind, ownerId };
    const releases = [await holdNamespaces(this.#parts, moves ? [from, namespace] : [from])];
    try {
      releases.push(await repos.holdAlone(repo));
      if (!by.dryRun) await repos.moveLeftOverAside(fullName);
      const limit = namespace.kind === 'user' ? room.limits.reposPerUser : undefined;
      const move: Move = { kind: 'repo', subjectId: repo.id, from: repo.fullName, to: fullName };
      const [source, target] = [repos.directory(repo), repos.directory({ fullName })];
      await this.#journaled(move, by, () =>
        store.moves.renameRepo(repo, { ...to, limit }, by, () =>
          moveDirectory(source, target, fullName),
        ),
      );
      return true;
    } finally {
      for (const release of releases.reverse()) release();
    }
  }

  /**
   * The namespace moves with its owner's name.
   *
   * @returns whether anything changed
   * @throws UserError `conflict` when the name is taken or reserved, `unavailable` when others hold one of its
   *   repositories for 30 s
   */
  async owner(owner: Owner, name: string, by: Actor): Promise<boolean> {
    const { store, sizes } = this.#parts;
    if (owner.name === name) return false;
    const release = await this.#holdAll(owner);
    try {
      // A measurement that waits would look where it was before.
      await sizes.flush();
      const move: Move = { kind: 'namespace', subjectId: owner.id, from: owner.name, to: name };
      await this.#journaled(move, by, () =>
        store.moves.renameOwner(owner, name, by, () => this.#moveNamespace(move)),
      );
      return true;
    } finally {
      release();
    }
  }

  /** Puts every directory where its row says: a crash came between the two. */
  async settle(): Promise<number> {
    const moves = await this.#parts.store.moves.unfinished();
    for (const move of moves) await this.#settleOne(move);
    return moves.length;
  }

  async #journaled(move: Move, by: Actor, work: () => Promise<void>): Promise<void> {
    if (by.dryRun) return work();
    await this.#parts.store.moves.begin(move);
    try {
      await work();
    } catch (error) {
      await this.#settleOne(move);
      throw error;
    }
  }

  async #settleOne(move: Move): Promise<void> {
    try {
      await this.#follow(move);
    } catch (error) {
      // One that can't be moved keeps its place in the journal, and nobody from the others.
      this.#parts.log.error({ err: error, ...move }, 'a move that was cut off is not settled');
    }
  }

  async #follow(move: Move): Promise<void> {
    if (move.kind === 'repo') await this.#followRepository(move);
    else await this.#followNamespace(move);
    await this.#parts.store.moves.end(move.subjectId);
  }

  async #followRepository({ subjectId, from, to }: Move): Promise<void> {
    const { store, repos } = this.#parts;
    const repo = await store.repositories.byId(subjectId);
    if (repo === undefined) return;
    const place = repos.directory(repo);
    if ((await readId(place)) === subjectId) return;
    for (const fullName of [from, to]) {
      const other = repos.directory({ fullName });
      if ((await readId(other)) === subjectId) return moveDirectory(other, place, repo.fullName);
    }
    throw new Error('the repository is in neither place');
  }

  async #followNamespace({ subjectId, from, to }: Move): Promise<void> {
    const now = await this.#parts.store.names.ofOwner(subjectId);
    if (now === undefined) return;
    const other = now === from ? to : from;
    if (await this.#holdsAny(other, subjectId)) {
      await moveDirectory(this.#folder(other), this.#folder(now), now);
    }
  }

  /** Whether a repository of this owner lies in a folder. */
  async #holdsAny(namespace: string, ownerId: string): Promise<boolean> {
    const folder = this.#folder(namespace);
    for (const entry of (await entriesOf(folder)) ?? []) {
      const id = await readId(join(folder, entry));
      const repo = id === undefined ? undefined : await this.#parts.store.repositories.byId(id);
      if (repo?.namespaceId === ownerId) return true;
    }
    return false;
  }

  async #moveNamespace({ from, to }: Move): Promise<void> {
    if ((await entriesOf(this.#folder(from))) === undefined) return;
    await moveDirectory(this.#folder(from), this.#folder(to), to);
  }

  #folder(namespace: string): string {
    return join(this.#parts.dataDir, 'repositories', namespace);
  }

  /** Takes a name, and every repository under it, for oneself. */
  async #holdAll({ id, name }: Owner): Promise<() => void> {
    const { store, locks } = this.#parts;
    const until = performance.now() + waitMs;
    const releases: (() => void)[] = [];
    const release = () => {
      for (const one of releases.reverse()) one();
    };
    const take = async (lock: string, what: string) => {
      const leftMs = Math.max(1, Math.round(until - performance.now()));
      releases.push(await locks.exclusive(lock, what, leftMs));
    };
    try {
      await take(namespaceLock(id), name);
      if ((await store.names.ofOwner(id)) !== name) throw movedMeanwhile(name);
      let after = { namespace: '', name: '' };
      for (;;) {
        const options = { after, limit: pageRows, namespaceId: id };
        const page = await store.repositories.page({ kind: 'all' }, options);
        for (const repo of page) {
          await take(repo.id, repo.fullName);
          after = repo;
        }
        if (page.length === 0) return release;
      }
    } catch (error) {
      release();
      throw error;
    }
  }
}
