import { sql } from 'kysely';
import { type Actor, inBatches, write } from './changes.ts';
import type { Database } from './sqlite.ts';

/** A purge that was begun and whose objects may still be there. */
export interface Purge {
  readonly repoId: string;
  readonly oid: string;
}

/** Objects that an owner has had removed for good. */
export class Purges {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Writes down that a purge begins: values that lead to the object are marked in history and leave the archive, before
   * anything is removed, for afterwards nobody could tell which they were. In a dry run nothing stays.
   *
   * @param gone - the values that lead to the object
   */
  async begin({ repoId, oid }: Purge, gone: readonly string[], by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .insertInto('purge')
        .values({
          repo_id: repoId,
          oid,
          request: by.request,
          principal: by.principal,
          key_id: by.keyId ?? null,
          at: w.now,
          done: 0,
        })
        .onConflict((on) => on.columns(['repo_id', 'oid']).doUpdateSet({ done: 0, at: w.now }))
        .execute();
      await inBatches(gone, async (oids) => {
        await w.trx
          .updateTable('ref_update')
          .set({ purged: 1 })
          .where('repo_id', '=', repoId)
          .where('new_oid', 'in', oids)
          .execute();
        await w.trx
          .deleteFrom('archived_tip')
          .where('repo_id', '=', repoId)
          .where('oid', 'in', oids)
          .execute();
      });
      await w.log({ type: 'objects-purged', repoId, detail: { oid } });
    });
  }

  /** Writes down that its objects are gone. */
  async finish({ repoId, oid }: Purge): Promise<void> {
    await this.#db
      .updateTable('purge')
      .set({ done: 1 })
      .where('repo_id', '=', repoId)
      .where('oid', '=', oid)
      .execute();
  }

  /** Whether an object was purged from a repository. */
  async isDone({ repoId, oid }: Purge): Promise<boolean> {
    const row = await this.#db
      .selectFrom('purge')
      .select('done')
      .where('repo_id', '=', repoId)
      .where('oid', '=', oid)
      .executeTakeFirst();
    return row?.done === 1;
  }

  /** Those that a crash or a fault cut off. */
  async unfinished(): Promise<readonly Purge[]> {
    const rows = await this.#db
      .selectFrom('purge')
      .select(['repo_id', 'oid'])
      .where('done', '=', sql.lit(0))
      .orderBy('at')
      .execute();
    return rows.map(({ repo_id, oid }) => ({ repoId: repo_id, oid }));
  }
}
