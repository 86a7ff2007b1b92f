import { type Kysely, sql, type Transaction } from 'kysely';
import { nullOid, type RefCommand } from '../model/ref.ts';
import { type Actor, inBatches, type Write } from './changes.ts';
import type { Tables } from './tables.ts';

/** What history calls a change that came about past cpm, on the disk itself. */
export const external = 'external';

/** Who made such a change, as far as cpm knows. */
export function nobody(by: Actor): Actor {
  return { ...by, principal: 'unknown', keyId: undefined };
}

/**
 * Adds updates of refs to history, and notes the values that the refs have by them.
 *
 * @param forced - the refs whose old value can't be reached from the new one
 */
export async function addUpdates(
  { trx, now }: Write,
  repoId: string,
  { done, forced }: { done: readonly RefCommand[]; forced: ReadonlySet<string> },
  { by, action }: { by: Actor; action: string },
): Promise<void> {
  const told = action === 'sync' && (await isTold(trx, repoId));
  const rows = (told ? [] : done).map(({ ref, old, new: next }) => ({
    repo_id: repoId,
    ref,
    old_oid: old,
    new_oid: next,
    at: now,
    principal: by.principal,
    key_id: by.keyId ?? null,
    action,
    request: by.request,
    forced: Number(forced.has(ref)),
  }));
  await inBatches(rows, (batch) => trx.insertInto('ref_update').values(batch).execute());
  const values = done.filter((command) => command.new !== nullOid);
  await inBatches(values, (batch) =>
    trx
      .insertInto('ref_value')
      .values(batch.map(({ ref, new: oid }) => ({ repo_id: repoId, ref, oid })))
      .onConflict((on) =>
        on.columns(['repo_id', 'ref']).doUpdateSet((eb) => ({ oid: eb.ref('excluded.oid') })),
      )
      .execute(),
  );
  const gone = done.filter((command) => command.new === nullOid);
  await inBatches(gone, (batch) =>
    trx
      .deleteFrom('ref_value')
      .where('repo_id', '=', repoId)
      .where(
        'ref',
        'in',
        batch.map(({ ref }) => ref),
      )
      .execute(),
  );
}

/** Whether a main's log tells of all that happens to a repository's refs: then its words are the history. */
async function isTold(trx: Transaction<Tables>, repoId: string): Promise<boolean> {
  const row = await trx
    .selectFrom('server_link')
    .innerJoin('following', 'following.server_id', 'server_link.server_id')
    .select('following.server_id')
    .where('server_link.repo_id', '=', repoId)
    .where('server_link.born_there', '=', sql.lit(1))
    .executeTakeFirst();
  return row !== undefined;
}

/** The values that some refs have as far as is on record; a ref without one is absent. */
export async function recordedValues(
  db: Kysely<Tables>,
  repoId: string,
  refs: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  await inBatches(refs, async (batch) => {
    const rows = await db
      .selectFrom('ref_value')
      .select(['ref', 'oid'])
      .where('repo_id', '=', repoId)
      .where('ref', 'in', batch)
      .execute();
    for (const { ref, oid } of rows) values.set(ref, oid);
  });
  return values;
}

/** The changes past cpm that show by old values which nothing on record led to. */
export async function unseenBefore(
  trx: Transaction<Tables>,
  repoId: string,
  done: readonly RefCommand[],
): Promise<readonly RefCommand[]> {
  const refs = done.map(({ ref }) => ref);
  const recorded = await recordedValues(trx, repoId, refs);
  return done.flatMap(({ ref, old, new: next }) => {
    const value = recorded.get(ref) ?? nullOid;
    // What is on record already, as by a recovery, was no surprise.
    const known = value === old || (value === next && next !== nullOid);
    return known ? [] : [{ ref, old: value, new: old }];
  });
}
