import { sql } from 'kysely';
import type { Import } from './log-import.ts';
import { ranks } from './log-ranks.ts';

/** A user or org of the server that is followed, as it is here. */
export interface Known {
  readonly localId: string;
  /** Whether it is kept as it is there. */
  readonly ours: boolean;
}

/**
 * What a user or org is here; undefined for one that was not told of yet. It counts as told of in this epoch.
 *
 * @param called - its name there, where that is told
 */
export async function known(
  { w, server, epoch }: Import,
  id: string,
  called?: string,
): Promise<Known | undefined> {
  const row = await w.trx
    .updateTable('followed')
    .set({ epoch, ...(called === undefined ? {} : { called }) })
    .where('server_id', '=', server.id)
    .where('remote_id', '=', id)
    .returning(['local_id', 'ours'])
    .executeTakeFirst();
  return row && { localId: row.local_id, ours: row.ours === 1 };
}

/** Notes what a user or org is here, and that its namespace is where its repositories go. */
export async function remember(
  { w, server, epoch }: Import,
  {
    id,
    kind,
    called,
    localId,
    ours,
  }: Known & { readonly id: string; readonly kind: 'user' | 'org'; readonly called: string },
): Promise<void> {
  const row = { server_id: server.id, remote_id: id, kind, called, local_id: localId };
  await w.trx
    .insertInto('followed')
    .values({ ...row, ours: Number(ours), epoch })
    .execute();
  await w.trx
    .insertInto('mirror_namespace')
    .values({ owner_id: localId, server_id: server.id })
    .onConflict((on) => on.column('owner_id').doUpdateSet({ server_id: server.id }))
    .execute();
}

/** The ids here of users and orgs; those never told of stay as they are. */
export async function localIds(
  { w, server }: Pick<Import, 'w' | 'server'>,
  ids: readonly string[],
): Promise<(id: string) => string> {
  const found = new Map<string, string>();
  const wanted = [...new Set(ids)];
  for (let at = 0; at < wanted.length; at += 500) {
    const rows = await w.trx
      .selectFrom('followed')
      .select(['remote_id', 'local_id'])
      .where('server_id', '=', server.id)
      .where('remote_id', 'in', wanted.slice(at, at + 500))
      .execute();
    for (const row of rows) found.set(row.remote_id, row.local_id);
  }
  return (id) => found.get(id) ?? id;
}

/** The repository here that one of the server is; its id is the same unless another was there before. */
export async function localRepo({ w, server }: Import, id: string): Promise<string> {
  const row = await w.trx
    .selectFrom('server_link')
    .select('repo_id')
    .where('server_id', '=', server.id)
    .where('remote_id', '=', id)
    .executeTakeFirst();
  return row?.repo_id ?? id;
}

/** Whether a repository here is this server's own, or was there before and is not to be touched by it. */
export async function isForeign({ w, server }: Import, localId: string): Promise<boolean> {
  const repo = await w.trx
    .selectFrom('repository')
    .select('id')
    .where('id', '=', localId)
    .executeTakeFirst();
  if (repo === undefined) return false;
  const link = await w.trx
    .selectFrom('server_link')
    .select('born_there')
    .where('server_id', '=', server.id)
    .where('repo_id', '=', localId)
    .executeTakeFirst();
  return link?.born_there !== 1;
}

/**
 * The name that a user or org gets here: its own, or, where that is somebody else's or reserved, its own with the
 * server's behind it. Nobody is ever merged with somebody of the same name.
 */
export async function freeName({ w, server }: Import, name: string, ownerId: string) {
  for (let round = 1; ; round += 1) {
    const behind = round === 1 ? '' : round === 2 ? `-${server.name}` : `-${server.name}-${round}`;
    const candidate = `${name.slice(0, 63 - behind.length)}${behind}`;
    const held = await w.trx
      .selectFrom('namespace')
      .select('owner_id')
      .where('name', '=', candidate)
      .executeTakeFirst();
    if (held === undefined || held.owner_id === ownerId) return candidate;
  }
}

/** Makes a name the current one of an owner, and reserves those that it had before, as far as they are free. */
export async function putNames(
  { w: { trx } }: Import,
  owner: { readonly id: string; readonly kind: 'user' | 'org'; readonly name: string },
  before: readonly string[],
): Promise<void> {
  const row = { kind: owner.kind, owner_id: owner.id };
  await trx
    .insertInto('namespace')
    .values({ ...row, name: owner.name, current: 1 })
    .onConflict((on) => on.column('name').doUpdateSet({ current: 1 }))
    .execute();
  for (const name of before) {
    await trx
      .insertInto('namespace')
      .values({ ...row, name, current: 0 })
      .onConflict((on) => on.column('name').doNothing())
      .execute();
  }
}

/** The org that was made here for the mirrors of this server's namespace of that name, before it was followed. */
export async function mirrorOrg({ w, server }: Import, name: string): Promise<string | undefined> {
  const row = await w.trx
    .selectFrom('namespace')
    .innerJoin('mirror_namespace', 'mirror_namespace.owner_id', 'namespace.owner_id')
    .select('namespace.owner_id')
    .where('namespace.name', '=', name)
    .where('namespace.current', '=', 1)
    .where('namespace.kind', '=', sql.lit('org'))
    .where('mirror_namespace.server_id', '=', server.id)
    .executeTakeFirst();
  return row?.owner_id;
}

/** Has something done on the disk once the batch is in; a later wish takes an earlier one's place. */
export async function wish(
  { w, server }: Import,
  kind: keyof typeof ranks,
  { subject, body }: { readonly subject: string; readonly body: string | null },
): Promise<void> {
  await w.trx
    .insertInto('followed_wish')
    .values({ server_id: server.id, rank: ranks[kind], subject, body, error: null })
    .onConflict((on) =>
      on.columns(['server_id', 'rank', 'subject']).doUpdateSet({ body, error: null }),
    )
    .execute();
}
