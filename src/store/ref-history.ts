import type { RefCommand } from '../model/ref.ts';
import { recordedValues } from './ref-updates.ts';
import type { Database } from './sqlite.ts';

/** One update of a ref, as history has it; a null oid stands for no value. */
export interface RefUpdate extends RefCommand {
  readonly id: number;
  readonly at: string;
  readonly principal: string;
  readonly keyId: string | undefined;
  readonly action: string;
  /** Whether the old value can't be reached from the new one. */
  readonly forced: boolean;
  /** Whether the new value was purged since. */
  readonly purged: boolean;
  /** When the next update ended the new value; undefined while it stands. */
  readonly until: string | undefined;
}

export interface Page {
  /** One ref's updates only. */
  readonly ref?: string | undefined;
  /** Updates before the one of this id. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** Every value that refs have had. Written by pushes.ts; read here. */
export class RefHistory {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Updates of a repository's refs, the newest first. */
  async page(repoId: string, { ref, before, limit }: Page): Promise<readonly RefUpdate[]> {
    let query = this.#db
      .selectFrom('ref_update as u')
      .selectAll('u')
      .select((eb) =>
        eb
          .selectFrom('ref_update as n')
          .select('n.at')
          .whereRef('n.repo_id', '=', 'u.repo_id')
          .whereRef('n.ref', '=', 'u.ref')
          .whereRef('n.id', '>', 'u.id')
          .orderBy('n.id')
          .limit(1)
          .as('until'),
      )
      .where('u.repo_id', '=', repoId);
    if (ref !== undefined) query = query.where('u.ref', '=', ref);
    if (before !== undefined) query = query.where('u.id', '<', before);
    const rows = await query.orderBy('u.id', 'desc').limit(limit).execute();
    return rows.map((row) => ({
      id: row.id,
      ref: row.ref,
      old: row.old_oid,
      new: row.new_oid,
      at: row.at,
      principal: row.principal,
      keyId: row.key_id ?? undefined,
      action: row.action,
      forced: row.forced === 1,
      purged: row.purged === 1,
      until: row.until ?? undefined,
    }));
  }

  /** The last update of the first of some refs that has had any. @param refs - full names, the likeliest first */
  async last(repoId: string, refs: readonly string[]): Promise<RefUpdate | undefined> {
    for (const ref of refs) {
      const [update] = await this.page(repoId, { ref, limit: 1 });
      if (update !== undefined) return update;
    }
    return undefined;
  }

  /** Whether a ref had a value before. */
  async had(repoId: string, ref: string, oid: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('ref_update')
      .select('id')
      .where('repo_id', '=', repoId)
      .where('ref', '=', ref)
      .where('new_oid', '=', oid)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** The values that refs have as far as is on record, in the order of their names. @param after - the last of a page */
  async values(
    repoId: string,
    after: string,
    limit: number,
  ): Promise<readonly { readonly ref: string; readonly oid: string }[]> {
    return this.#db
      .selectFrom('ref_value')
      .select(['ref', 'oid'])
      .where('repo_id', '=', repoId)
      .where('ref', '>', after)
      .orderBy('ref')
      .limit(limit)
      .execute();
  }

  /** The values that some refs have as far as is on record; a ref without one is absent. */
  async valuesOf(repoId: string, refs: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return recordedValues(this.#db, repoId, refs);
  }
}
