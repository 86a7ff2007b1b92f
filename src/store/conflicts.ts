import { sql } from 'kysely';
import type { ConflictKind } from '../model/sync-plan.ts';
import { type Actor, newId, write } from './changes.ts';
import type { Database } from './sqlite.ts';

/** A ref that moved on both sides since two servers last agreed; the null oid stands for "deleted". */
export interface Conflict {
  readonly id: string;
  readonly repoId: string;
  readonly serverId: string;
  /** The other server's name, as it was then. */
  readonly server: string;
  readonly ref: string;
  readonly kind: ConflictKind;
  readonly local: string;
  readonly remote: string;
  readonly base: string;
  readonly openedAt: string;
  /** Whether it holds what a main had alone when this server took over from it: it ends by a decision or a merge. */
  readonly recalled: boolean;
}

const reopened = {
  state: 'open',
  kept: 1,
  ended_at: null,
  ended_by: null,
  resolution: null,
} as const;

export type Kept = 'local' | 'remote' | 'both';

/** Conflicts: open ones, and decisions that the other server has yet to hear of. */
export class Conflicts {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The open ones of a repository, or of all of them, the oldest first. */
  async open(repoId?: string): Promise<readonly Conflict[]> {
    let query = this.#db
      .selectFrom('sync_conflict')
      .selectAll()
      .where('state', '=', sql.lit('open'));
    if (repoId !== undefined) query = query.where('repo_id', '=', repoId);
    const rows = await query.execute();
    return rows.map(toConflict).sort((a, b) => (a.openedAt < b.openedAt ? -1 : 1));
  }

  async openWith(serverId: string): Promise<readonly Conflict[]> {
    const rows = await this.#db
      .selectFrom('sync_conflict')
      .selectAll()
      .where('server_id', '=', serverId)
      .where('state', '=', sql.lit('open'))
      .execute();
    return rows.map(toConflict);
  }

  /** Opens a conflict, or brings an open one up to date. @param id - of a new one */
  async put(conflict: Omit<Conflict, 'openedAt'>, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      const { repoId, serverId, server, ref, kind, local, remote, base, recalled } = conflict;
      const values = { kind, local_oid: local, remote_oid: remote };
      const { numUpdatedRows } = await w.trx
        .updateTable('sync_conflict')
        .set(values)
        .where('repo_id', '=', repoId)
        .where('server_id', '=', serverId)
        .where('ref', '=', ref)
        .where('state', '=', sql.lit('open'))
        .executeTakeFirst();
      if (numUpdatedRows > 0n) return;
      // What was decided on it before was decided over another value.
      await w.trx
        .updateTable('sync_conflict')
        .set({ state: 'closed' })
        .where('repo_id', '=', repoId)
        .where('server_id', '=', serverId)
        .where('ref', '=', ref)
        .where('state', '=', sql.lit('resolved'))
        .execute();
      await w.trx
        .insertInto('sync_conflict')
        .values({
          id: conflict.id,
          repo_id: repoId,
          server_id: serverId,
          server,
          ref,
          ...values,
          base_oid: base,
          state: 'open',
          opened_at: w.now,
          ended_at: null,
          ended_by: null,
          resolution: null,
          recalled: Number(recalled),
        })
        // Another run of the same two servers ended it since it was found to be open.
        .onConflict((on) => on.column('id').doUpdateSet({ ...values, ...reopened }))
        .execute();
      const detail = { server, ref, old: local, new: remote };
      await w.log({ type: 'conflict-opened', repoId, subjectId: conflict.id, detail });
    });
  }

  /** Ends a conflict: by a person's decision, of which the other server is yet to hear, or because it is none any more. */
  async end(conflict: Conflict, kept: Kept | undefined, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('sync_conflict')
        .set({
          // What was taken from there needs no telling there.
          state:
            kept === undefined || kept === 'remote' || conflict.recalled ? 'closed' : 'resolved',
          ended_at: w.now,
          ended_by: by.principal,
          resolution: kept ?? null,
        })
        .where('id', '=', conflict.id)
        .execute();
      const { server, ref, repoId } = conflict;
      const detail = { server, ref, ...(kept === undefined ? {} : { kept }) };
      await w.log({ type: 'conflict-ended', repoId, subjectId: conflict.id, detail });
    });
  }

  /** Ids of repositories with conflicts that ended before a moment and whose refs are still there. */
  async withKeptBefore(before: string, limit: number): Promise<readonly string[]> {
    const rows = await this.#db
      .selectFrom('sync_conflict')
      .select('repo_id')
      .where('kept', '=', sql.lit(1))
      .where('ended_at', 'is not', null)
      .where('ended_at', '<', before)
      .orderBy('ended_at')
      .limit(limit)
      .execute();
    return [...new Set(rows.map((row) => row.repo_id))];
  }

  /** The conflicts of a repository that ended before a moment and whose refs are still there. */
  async keptBefore(repoId: string, before: string): Promise<readonly Conflict[]> {
    const rows = await this.#db
      .selectFrom('sync_conflict')
      .selectAll()
      .where('repo_id', '=', repoId)
      .where('kept', '=', sql.lit(1))
      .where('ended_at', '<', before)
      .execute();
    return rows.map(toConflict);
  }

  /** The refs that a server had alone which led before this one, each with its value there. */
  async recalled(repoId: string): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#db
      .selectFrom('sync_conflict')
      .select(['ref', 'remote_oid'])
      .where('repo_id', '=', repoId)
      .where('recalled', '=', sql.lit(1))
      .execute();
    return new Map(rows.map(({ ref, remote_oid }) => [ref, remote_oid]));
  }

  /** The refs of a conflict are gone. */
  async dropped({ id }: Conflict): Promise<void> {
    await this.#db.updateTable('sync_conflict').set({ kept: 0 }).where('id', '=', id).execute();
  }

  /** Refs on whose local value a person has decided, each with the remote value that it was decided over. */
  async decided(pair: { serverId: string; repoId: string }): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#db
      .selectFrom('sync_conflict')
      .select(['ref', 'remote_oid'])
      .where('repo_id', '=', pair.repoId)
      .where('server_id', '=', pair.serverId)
      .where('state', '=', sql.lit('resolved'))
      .execute();
    return new Map(rows.map(({ ref, remote_oid }) => [ref, remote_oid]));
  }

  /** The other server has heard of the decisions on these refs. */
  async told(pair: { serverId: string; repoId: string }, refs: readonly string[]): Promise<void> {
    for (const ref of refs) {
      await this.#db
        .updateTable('sync_conflict')
        .set({ state: 'closed' })
        .where('repo_id', '=', pair.repoId)
        .where('server_id', '=', pair.serverId)
        .where('ref', '=', ref)
        .where('state', '=', sql.lit('resolved'))
        .execute();
    }
  }
}

/** The id of a conflict that is about to be opened. */
export function newConflictId(): string {
  return newId();
}

function toConflict(row: {
  id: string;
  repo_id: string;
  server_id: string;
  server: string;
  ref: string;
  kind: string;
  local_oid: string;
  remote_oid: string;
  base_oid: string;
  opened_at: string;
  recalled: number;
}): Conflict {
  return {
    id: row.id,
    repoId: row.repo_id,
    serverId: row.server_id,
    server: row.server,
    ref: row.ref,
    kind: row.kind as ConflictKind,
    local: row.local_oid,
    remote: row.remote_oid,
    base: row.base_oid,
    openedAt: row.opened_at,
    recalled: row.recalled === 1,
  };
}
