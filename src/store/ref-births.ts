import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { nullOid } from '../model/ref.ts';
import type { Deletion, RefList } from '../model/sync-refs.ts';
import { inBatches } from './changes.ts';
import type { Database } from './sqlite.ts';

/** The creation of a ref that history knows as its last. */
interface Creation {
  readonly id: number;
  readonly oid: string;
  readonly action: string;
}

/**
 * The names of creations of refs. Whoever takes a new ref from another server keeps the name that its creation has
 * there: by it a deletion is known to be one of this creation, and not of another with the same value.
 */
export class RefBirths {
  readonly #db: Database;
  readonly #houseId: string;

  constructor(db: Database, houseId: string) {
    this.#db = db;
    this.#houseId = houseId;
  }

  /** Of refs that exist, what their creation is called; those are absent that nothing is known of. */
  async of(repoId: string, refs: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const creations = await this.#creations(repoId, refs);
    return this.#names(repoId, creations);
  }

  /** Of refs that do not exist, what the last that happened to each deleted; the others are absent. */
  async deletions(repoId: string, refs: readonly string[]): Promise<ReadonlyMap<string, Deletion>> {
    const found = new Map<string, string>();
    for (const ref of refs) {
      const row = await this.#db
        .selectFrom('ref_update')
        .select(['old_oid', 'new_oid'])
        .where('repo_id', '=', repoId)
        .where('ref', '=', ref)
        .orderBy('id', 'desc')
        .limit(1)
        .executeTakeFirst();
      if (row?.new_oid === nullOid) found.set(ref, row.old_oid);
    }
    const births = await this.of(repoId, [...found.keys()]);
    return new Map([...found].map(([ref, oid]) => [ref, { oid, birth: births.get(ref) }]));
  }

  /**
   * Notes what creations are called that are about to be taken from another server.
   *
   * @param births - by ref; @param values - the refs' values
   */
  async note(
    repoId: string,
    { births, values }: { births: ReadonlyMap<string, string>; values: RefList },
  ): Promise<void> {
    if (births.size === 0) return;
    const rows = [...births].flatMap(([ref, birth]) => {
      const oid = values.get(ref);
      return oid === undefined ? [] : [{ repo_id: repoId, ref, oid, birth }];
    });
    await this.#db.transaction().execute((trx) =>
      inBatches(rows, (batch) =>
        trx
          .insertInto('ref_birth')
          .values(batch)
          .onConflict((on) =>
            on.columns(['repo_id', 'ref']).doUpdateSet((eb) => ({
              oid: eb.ref('excluded.oid'),
              birth: eb.ref('excluded.birth'),
            })),
          )
          .execute(),
      ),
    );
  }

  async #creations(
    repoId: string,
    refs: readonly string[],
  ): Promise<ReadonlyMap<string, Creation>> {
    const found = new Map<string, Creation>();
    await inBatches(refs, async (batch) => {
      // SQLite takes the other columns from the row that has the maximum.
      const rows = await this.#db
        .selectFrom('ref_update')
        .select(['ref', 'new_oid', 'action'])
        .select((eb) => eb.fn.max('id').as('id'))
        .where('repo_id', '=', repoId)
        .where('ref', 'in', batch)
        .where('old_oid', '=', sql.lit(nullOid))
        .groupBy('ref')
        .execute();
      for (const { ref, id, new_oid: oid, action } of rows) found.set(ref, { id, oid, action });
    });
    return found;
  }

  async #names(
    repoId: string,
    creations: ReadonlyMap<string, Creation>,
  ): Promise<ReadonlyMap<string, string>> {
    const names = new Map<string, string>();
    const taken = [...creations].filter(([, { action }]) => action === 'sync');
    await inBatches(
      taken.map(([ref]) => ref),
      async (batch) => {
        const rows = await this.#db
          .selectFrom('ref_birth')
          .select(['ref', 'oid', 'birth'])
          .where('repo_id', '=', repoId)
          .where('ref', 'in', batch)
          .execute();
        for (const { ref, oid, birth } of rows) {
          if (creations.get(ref)?.oid === oid) names.set(ref, birth);
        }
      },
    );
    for (const [ref, { id, action }] of creations) {
      if (action !== 'sync') names.set(ref, this.#ownName(id));
    }
    return names;
  }

  /** Tells nobody how much happens here. */
  #ownName(id: number): string {
    return createHash('sha256').update(`${this.#houseId} ${id}`).digest('hex').slice(0, 32);
  }
}
