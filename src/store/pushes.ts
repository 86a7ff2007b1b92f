import { sql } from 'kysely';
import { nullOid, type RefCommand } from '../model/ref.ts';
import { type Actor, inBatches, type Write, write } from './changes.ts';
import { moveDigest } from './digests.ts';
import { addUpdates, external, nobody, unseenBefore } from './ref-updates.ts';
import type { Database } from './sqlite.ts';

/** A push that was handed to git and whose outcome is not written down yet. */
export interface JournaledPush {
  readonly request: string;
  readonly repoId: string;
  readonly principal: string;
  readonly keyId: string | undefined;
  readonly action: string;
  /** Whether this push created the repository. */
  readonly creates: boolean;
  readonly commands: readonly RefCommand[];
}

/** What pushes did to refs: the journal of those under way, every ref's history, and the tips kept in the archive. */
export class Pushes {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Durable before git learns of the commands, so that a crash leaves nothing unrecorded. */
  async journal(
    repoId: string,
    action: string,
    creates: boolean,
    commands: readonly RefCommand[],
    by: Actor,
  ): Promise<void> {
    const rows = commands.map(({ ref, old, new: next }) => ({
      request: by.request,
      ref,
      repo_id: repoId,
      old_oid: old,
      new_oid: next,
      principal: by.principal,
      key_id: by.keyId ?? null,
      action,
      creates: Number(creates),
    }));
    await this.#db.transaction().execute(async (trx) => {
      await inBatches(rows, (batch) => trx.insertInto('push_journal').values(batch).execute());
    });
  }

  /** Moves a push from the journal into history: the refs that changed, the tips that were archived. */
  async settle(
    repoId: string,
    action: string,
    outcome: { done: readonly RefCommand[]; archived: readonly { oid: string; ref: string }[] },
    by: Actor,
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      const { trx, now } = w;
      const unseen = await unseenBefore(trx, repoId, outcome.done);
      if (outcome.done.length > 0) await moveDigest(trx, repoId, outcome.done);
      await addUpdates(
        w,
        repoId,
        { done: unseen, forced: new Set() },
        { by: nobody(by), action: external },
      );
      const forced = new Set(outcome.archived.map(({ ref }) => ref));
      await addUpdates(w, repoId, { done: outcome.done, forced }, { by, action });
      const type = 'ref-updated';
      await w.log(...outcome.done.map((detail) => ({ type, repoId, detail: { ...detail } })));
      if (outcome.done.length > 0) await countRefs(w, repoId, outcome.done);
      await inBatches(outcome.archived, (batch) =>
        trx
          .insertInto('archived_tip')
          .values(batch.map(({ oid, ref }) => ({ repo_id: repoId, oid, ref, archived_at: now })))
          .onConflict((on) =>
            on.columns(['repo_id', 'oid']).doUpdateSet(({ ref }) => ({
              ref: ref('excluded.ref'),
              archived_at: ref('excluded.archived_at'),
            })),
          )
          .execute(),
      );
      await w.trx.deleteFrom('push_journal').where('request', '=', by.request).execute();
    });
  }

  /** What was pushed with keys since a moment, the newest first. */
  async madeWith(keyIds: readonly string[], since: string, limit: number) {
    return this.#db
      .selectFrom('ref_update')
      .leftJoin('repository', 'repository.id', 'ref_update.repo_id')
      .leftJoin('namespace', (join) =>
        join
          .onRef('namespace.owner_id', '=', 'repository.namespace_id')
          .on('namespace.current', '=', sql.lit(1)),
      )
      .select(['at', 'ref', 'old_oid as old', 'new_oid as new', 'ref_update.principal'])
      .select(['repository.name', 'namespace.name as namespace'])
      .where('key_id', 'in', sql<string>`(select value from json_each(${JSON.stringify(keyIds)}))`)
      .where('at', '>=', since)
      .orderBy('ref_update.id', 'desc')
      .limit(limit)
      .execute();
  }

  /** The pushes that a crash cut off. */
  async unsettled(): Promise<readonly JournaledPush[]> {
    const rows = await this.#db.selectFrom('push_journal').selectAll().orderBy('request').execute();
    const pushes = new Map<string, JournaledPush & { commands: RefCommand[] }>();
    for (const row of rows) {
      const push = pushes.get(row.request) ?? {
        request: row.request,
        repoId: row.repo_id,
        principal: row.principal,
        keyId: row.key_id ?? undefined,
        action: row.action,
        creates: row.creates === 1,
        commands: [],
      };
      push.commands.push({ ref: row.ref, old: row.old_oid, new: row.new_oid });
      pushes.set(row.request, push);
    }
    return [...pushes.values()];
  }
}

/** Keeps the repository's number of refs, and when it changed last. */
async function countRefs({ trx, now }: Write, repoId: string, done: readonly RefCommand[]) {
  const made = done.filter(({ old }) => old === nullOid).length;
  const gone = done.filter((command) => command.new === nullOid).length;
  await trx
    .updateTable('repository')
    .set((eb) => ({
      ref_count: eb('ref_count', '+', made - gone),
      untidy: eb('untidy', '+', done.length),
      updated_at: now,
    }))
    .where('id', '=', repoId)
    .execute();
}
