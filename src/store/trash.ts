import type { Kysely } from 'kysely';
import { UserError } from '../model/errors.ts';
import { type Actor, write } from './changes.ts';
import {
  type Repository,
  type RepositoryRow,
  refuseTaken,
  removeRow,
  repositoryRows,
  toRepository,
} from './repositories.ts';
import { retake } from './retake.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';
import { refuseOver } from './usage.ts';
import { reachableBy, type Viewer } from './viewer.ts';

/** A deleted repository: its row with grants, rules and history, which come back with it. */
export interface TrashedRepository extends Repository {
  /** ISO 8601 UTC. */
  readonly deletedAt: string;
  /** `user:ana` */
  readonly deletedBy: string;
}

/** A place in the order of deletions. */
export interface AfterDeletion {
  readonly deletedAt: string;
  readonly id: string;
}

/** What keeps a namespace from being deleted: repositories of its own in the trash. */
export function inTrash(namespace: string, name: string): UserError {
  return new UserError(
    'conflict',
    `${namespace} has repositories in the trash, ${namespace}/${name} among them`,
    { hint: `restore them, or end them with: repo trash empty ${namespace}/${name} --yes` },
  );
}

/** Repositories between their deletion and their end. */
export class Trash {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async byId(id: string): Promise<TrashedRepository | undefined> {
    const row = await trashed(this.#db).where('repository.id', '=', id).executeTakeFirst();
    return row && toTrashed(row);
  }

  /** All that had this name when they were deleted, the last deleted first. */
  async named(namespaceId: string, name: string): Promise<readonly TrashedRepository[]> {
    const rows = await trashed(this.#db)
      .where('repository.namespace_id', '=', namespaceId)
      .where('repository.name', '=', name)
      .orderBy('repository.deleted_at', 'desc')
      .execute();
    return rows.map(toTrashed);
  }

  /** A page in the order of deletion; for a user, of what might be theirs: the caller decides row by row. */
  async page(
    viewer: Viewer,
    { after, limit }: { after: AfterDeletion; limit: number },
  ): Promise<readonly TrashedRepository[]> {
    let query = trashed(this.#db);
    if (viewer.kind === 'user') query = query.where(reachableBy(viewer.id));
    const rows = await query
      .where((eb) =>
        eb(
          eb.refTuple('repository.deleted_at', 'repository.id'),
          '>',
          eb.tuple(after.deletedAt, after.id),
        ),
      )
      .orderBy('repository.deleted_at')
      .orderBy('repository.id')
      .limit(limit)
      .execute();
    return rows.map(toTrashed);
  }

  /**
   * Marks a repository as deleted, which frees its name; `displace` moves its directory in the same transaction.
   *
   * @throws UserError `conflict` when it is deleted already
   */
  async add(repo: Repository, by: Actor, displace: () => Promise<void>): Promise<void> {
    await write(this.#db, by, async (w) => {
      const { numUpdatedRows } = await w.trx
        .updateTable('repository')
        .set({ deleted_at: w.now, deleted_by: by.principal })
        .where('id', '=', repo.id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw gone(repo);
      await w.log({ type: 'repo-deleted', repoId: repo.id, detail: { name: repo.fullName } });
      if (!by.dryRun) await displace();
    });
  }

  /**
   * Takes a repository out again; `place` moves its directory back in the same transaction.
   *
   * @param how - `limit`: how many repositories its namespace may have with it; `retakes`: the ids of those that its name
   *   may cease to lead to
   * @throws UserError `conflict` when its name was taken meanwhile or leads to another one, `unavailable` over `limit`
   */
  async restore(
    repo: TrashedRepository,
    by: Actor,
    {
      limit,
      retakes,
      place,
    }: { limit: number | undefined; retakes: readonly string[]; place: () => Promise<void> },
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      await refuseTaken(w, repo);
      const { namespace, namespaceId, namespaceKind } = repo;
      const owner = { name: namespace, kind: namespaceKind, ownerId: namespaceId };
      await refuseOver(w, owner, limit);
      const path = { namespaceId, name: repo.name, text: repo.fullName };
      await retake(w, path, [repo.id, ...retakes]);
      const { numUpdatedRows } = await w.trx
        .updateTable('repository')
        .set({ deleted_at: null, deleted_by: null, updated_at: w.now })
        .where('id', '=', repo.id)
        .where('deleted_at', 'is not', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) throw gone(repo);
      await w.log({ type: 'repo-restored', repoId: repo.id, detail: { name: repo.fullName } });
      if (!by.dryRun) await place();
    });
  }

  /** Ends a repository for good; `displace` takes its directory away in the same transaction. */
  async remove(repo: TrashedRepository, by: Actor, displace: () => Promise<void>): Promise<void> {
    await write(this.#db, by, async (w) => {
      const held = await trashed(w.trx).where('repository.id', '=', repo.id).executeTakeFirst();
      if (held === undefined) throw gone(repo);
      await removeRow(w, repo);
      if (!by.dryRun) await displace();
    });
  }
}

function trashed(db: Kysely<Tables>) {
  return repositoryRows(db).where('repository.deleted_at', 'is not', null);
}

function toTrashed(row: RepositoryRow): TrashedRepository {
  const { deleted_at: deletedAt, deleted_by: deletedBy } = row;
  return { ...toRepository(row), deletedAt: deletedAt ?? '', deletedBy: deletedBy ?? '' };
}

function gone(repo: Repository): UserError {
  return new UserError('conflict', `${repo.fullName}: somebody else was quicker`, {
    hint: 'look again with: repo trash list',
  });
}
