import { sql } from 'kysely';
import { type Actor, inBatches, write } from './changes.ts';
import type { Repository } from './repositories.ts';
import { repositoryRows, toRepository } from './repositories.ts';
import type { Database } from './sqlite.ts';

/** A repository in which so much has changed since it was last tidied that it may need it. */
export interface UntidyRepository extends Repository {
  /** Changes of refs since then. */
  readonly untidy: number;
}

/** The last value of a ref by its history; the null oid where it was deleted. */
export interface RecordedRef {
  readonly ref: string;
  readonly oid: string;
}

/** What maintenance and verification know of repositories. */
export class Upkeep {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Every ref that a repository's history knows, in their order, with its last value. */
  async recordedRefs(
    repoId: string,
    { after, limit }: { after: string; limit: number },
  ): Promise<readonly RecordedRef[]> {
    // SQLite takes the other columns from the row that has the maximum.
    const rows = await this.#db
      .selectFrom('ref_update')
      .select(['ref', 'new_oid'])
      .select((eb) => eb.fn.max('id').as('last'))
      .where('repo_id', '=', repoId)
      .where('ref', '>', after)
      .groupBy('ref')
      .orderBy('ref')
      .limit(limit)
      .execute();
    return rows.map(({ ref, new_oid: oid }) => ({ ref, oid }));
  }

  /** The last value of one ref; undefined where history does not know it. */
  async recordedRef(repoId: string, ref: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('ref_update')
      .select('new_oid')
      .where('repo_id', '=', repoId)
      .where('ref', '=', ref)
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row?.new_oid;
  }

  /** Repositories with many changes since they were last tidied, the most first. */
  async untidy(limit: number): Promise<readonly UntidyRepository[]> {
    const rows = await repositoryRows(this.#db)
      .where('repository.untidy', '>=', sql.lit(5))
      .where('repository.deleted_at', 'is', null)
      .orderBy('repository.untidy', 'desc')
      .limit(limit)
      .execute();
    return rows.map((row) => ({ ...toRepository(row), untidy: row.untidy }));
  }

  /** Notes that a repository is tidy but for what came after `seen` changes. */
  async tidied(id: string, seen: number): Promise<void> {
    await this.#db
      .updateTable('repository')
      .set((eb) => ({
        untidy: sql<number>`max(0, ${eb.ref('untidy')} - ${seen})`,
        tidied_at: new Date().toISOString(),
      }))
      .where('id', '=', id)
      .execute();
  }

  /**
   * Notes that a repository was packed anew.
   *
   * @param pruneAt - when it is to be looked at again for objects that nothing leads to; undefined when there are none
   */
  async repacked(id: string, at: string, pruneAt: string | undefined): Promise<void> {
    await this.#db
      .updateTable('repository')
      .set({ repacked_at: at, prune_at: pruneAt ?? null })
      .where('id', '=', id)
      .execute();
  }

  /** Repositories in which objects may have come to their end, those that have waited for the longest first. */
  async toPrune(before: string, limit: number): Promise<readonly Repository[]> {
    const rows = await repositoryRows(this.#db)
      .where('repository.prune_at', '<=', before)
      .where('repository.deleted_at', 'is', null)
      .orderBy('repository.prune_at')
      .limit(limit)
      .execute();
    return rows.map(toRepository);
  }

  /** How a repository's housekeeping stands. */
  async tidiness(id: string) {
    return this.#db
      .selectFrom('repository')
      .select([
        'untidy',
        'tidied_at as tidiedAt',
        'repacked_at as repackedAt',
        'prune_at as pruneAt',
      ])
      .where('id', '=', id)
      .executeTakeFirst();
  }

  /** Archived tips of a repository that were put there before a moment. */
  async tipsBefore(repoId: string, before: string, limit: number): Promise<readonly string[]> {
    const rows = await this.#db
      .selectFrom('archived_tip')
      .select('oid')
      .where('repo_id', '=', repoId)
      .where('archived_at', '<', before)
      .orderBy('archived_at')
      .limit(limit)
      .execute();
    return rows.map(({ oid }) => oid);
  }

  /** Ids of repositories that have archived tips from before a moment; mirrors, which keep them, are not among them. */
  async withTipsBefore(before: string, limit: number): Promise<readonly string[]> {
    const rows = await this.#db
      .selectFrom('archived_tip')
      .select('repo_id')
      .distinct()
      .where('archived_at', '<', before)
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('server_link')
              .innerJoin('server', 'server.id', 'server_link.server_id')
              .select('server.id')
              .whereRef('server_link.repo_id', '=', 'archived_tip.repo_id')
              .where('server_link.born_there', '=', sql.lit(1))
              .where('server.role', '=', 'main'),
          ),
        ),
      )
      .orderBy('repo_id')
      .limit(limit)
      .execute();
    return rows.map((row) => row.repo_id);
  }

  /**
   * Ends the archiving of tips, if they are still as old as they were found to be.
   *
   * @param how - `awaited`: those whose time begins anew; `prune`: whether there are objects now that nothing leads to
   */
  async expire(
    repo: Repository,
    {
      over,
      awaited,
      prune,
    }: { over: readonly string[]; awaited: readonly string[]; prune: boolean },
    { before, by }: { before: string; by: Actor },
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      await inBatches(over, (batch) =>
        w.trx
          .deleteFrom('archived_tip')
          .where('repo_id', '=', repo.id)
          .where('oid', 'in', oneOf(batch))
          .where('archived_at', '<', before)
          .execute(),
      );
      await inBatches(awaited, (batch) =>
        w.trx
          .updateTable('archived_tip')
          .set({ archived_at: w.now })
          .where('repo_id', '=', repo.id)
          .where('oid', 'in', oneOf(batch))
          .execute(),
      );
      if (prune) {
        await w.trx
          .updateTable('repository')
          .set((eb) => ({ prune_at: eb.fn.coalesce('prune_at', eb.val(w.now)) }))
          .where('id', '=', repo.id)
          .execute();
      }
      const detail = { name: repo.fullName, tips: over.length };
      if (over.length > 0) await w.log({ type: 'archive-expired', repoId: repo.id, detail });
    });
  }
}

function oneOf(oids: readonly string[]) {
  return sql<string>`(select value from json_each(${JSON.stringify(oids)}))`;
}
