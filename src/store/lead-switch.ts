import { sql, type Transaction } from 'kysely';
import { UserError } from '../model/errors.ts';
import { breakGlassOf } from './break-glass.ts';
import { beginAnew, countOf, setCount } from './change-entries.ts';
import { type Actor, type Write, write } from './changes.ts';
import { beginFollowing, type FollowStart } from './following.ts';
import type { Server } from './servers.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** What a server that leads has of the one that led before it, each by the id there and by its own. */
export interface Heritage {
  readonly repos: readonly (readonly [there: string, own: string])[];
  readonly people: readonly (readonly [there: string, own: string, kind: 'user' | 'org'])[];
}

/** How a leader is begun to be followed. */
interface LeadStart extends FollowStart {
  readonly term: number;
  /** The id of the data directory that led before it. */
  readonly origin: string;
}

/** The two sides of a switch: each is one transaction, so that a crash leaves it done or not begun. */
export class LeadSwitch {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** What this server has of one that it followed, or follows. */
  async heritage(serverId: string): Promise<Heritage> {
    const repos = await this.#db
      .selectFrom('server_link')
      .select(['remote_id', 'repo_id'])
      .where('server_id', '=', serverId)
      .where('born_there', '=', sql.lit(1))
      .where('remote_id', 'is not', null)
      .execute();
    const people = await this.#db
      .selectFrom('followed')
      .select(['remote_id', 'local_id', 'kind'])
      .where('server_id', '=', serverId)
      .execute();
    return {
      repos: repos.map(({ remote_id, repo_id }) => [remote_id ?? '', repo_id]),
      people: people.map(({ remote_id, local_id, kind }) => [remote_id, local_id, kind]),
    };
  }

  /**
   * This server leads in the place of its main from now on: what was a mirror is written here, and goes there.
   *
   * @param recalled - whether the main had nothing that is not here
   * @throws UserError `conflict` where the server is no main here any more
   */
  async take(
    main: Server,
    { origin, term, recalled }: { origin: string; term: number; recalled: boolean },
    by: Actor,
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      const { trx } = w;
      const { numUpdatedRows } = await trx
        .updateTable('server')
        .set({ role: 'backup' })
        .where('id', '=', main.id)
        .where('role', '=', sql.lit('main'))
        .executeTakeFirst();
      if (numUpdatedRows === 0n || (await countOf(trx, 'log_term')) >= term) {
        throw new UserError('conflict', `${main.name}: it leads here no more`);
      }
      await setCount(trx, 'log_term', term);
      await trx
        .updateTable('ref_update')
        .set({ aside: 0 })
        .where('aside', '=', sql.lit(1))
        .execute();
      for (const table of ['following', 'followed_wish', 'sync_mark', 'sync_peer'] as const) {
        await trx.deleteFrom(table).where('server_id', '=', main.id).execute();
      }
      const row = { state: 'taken', origin, term, recalled: Number(recalled), at: w.now } as const;
      await trx
        .insertInto('lead')
        .values({ server_id: main.id, ...row })
        .onConflict((on) => on.column('server_id').doUpdateSet(row))
        .execute();
      // What was the main's to tell is this server's from now on.
      await beginAnew(trx);
      const detail = { server: main.name, term };
      await w.log({ type: 'server-lead-taken', subjectId: main.id, detail });
      const set = { ...detail, role: 'backup' };
      await w.log({ type: 'server-set', subjectId: main.id, detail: set });
    });
  }

  /**
   * Another server leads from now on, and this one follows it: in its own place, or in that of the main it followed.
   *
   * @param before - that main; this server itself without
   * @throws UserError `conflict` where something here is linked with it already in another way
   */
  async follow(
    leader: Server,
    {
      before,
      heritage,
      start,
    }: {
      before: Server | undefined;
      heritage: Heritage;
      start: LeadStart;
    },
    by: Actor,
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      const { trx } = w;
      await trx.updateTable('server').set({ role: 'main' }).where('id', '=', leader.id).execute();
      await linkAnew(w, { leader, before }, heritage.repos);
      if (before === undefined) await setAside(trx, leader, heritage.repos);
      const glass = (await breakGlassOf(w)) ?? start.breakGlass;
      await knowAnew(w, { leader, before, glass }, { ...heritage, epoch: start.position.epoch });
      if (before !== undefined) await retire(trx, before, start.origin);
      // What was agreed with it as a backup says nothing of what it has the lead of.
      for (const table of ['sync_mark', 'sync_peer', 'sync_base', 'followed_wish'] as const) {
        await trx.deleteFrom(table).where('server_id', '=', leader.id).execute();
      }
      await trx.deleteFrom('lead').execute();
      await beginFollowing(w, leader, start);
      if (before !== undefined) await noteFollowed(w, leader, start);
      await setCount(trx, 'log_term', Math.max(start.term, await countOf(trx, 'log_term')));
      const detail = { server: leader.name, term: start.term };
      await w.log({ type: 'server-lead-followed', subjectId: leader.id, detail });
      const set = { ...detail, role: 'main' };
      await w.log({ type: 'server-set', subjectId: leader.id, detail: set });
    });
  }
}

/** Mirrors of the one before are mirrors of the leader; what was this server's own becomes one. */
async function linkAnew(
  { trx, now }: Write,
  { leader, before }: { leader: Server; before: Server | undefined },
  repos: Heritage['repos'],
): Promise<void> {
  for (const [there, own] of repos) {
    const repoId = before === undefined ? there : await mirrorOf(trx, before.id, there);
    const repo = await trx
      .selectFrom('repository')
      .select('id')
      .where('id', '=', repoId ?? '')
      .executeTakeFirst();
    if (repo === undefined) continue;
    await trx
      .deleteFrom('server_link')
      .where('server_id', '=', leader.id)
      .where('remote_id', '=', own)
      .execute();
    const row = { remote_id: own, born_there: 1 };
    await trx
      .insertInto('server_link')
      .values({ server_id: leader.id, repo_id: repo.id, linked_at: now, ...row })
      .onConflict((on) => on.columns(['server_id', 'repo_id']).doUpdateSet(row))
      .execute();
  }
}

/** What the leader does not tell of a history that began here, for it took over without it, is set aside. */
async function setAside(
  trx: Transaction<Tables>,
  leader: Server,
  repos: Heritage['repos'],
): Promise<void> {
  const lost = await trx
    .selectFrom('lead')
    .select('term')
    .where('server_id', '=', leader.id)
    .where('state', '=', sql.lit('lost'))
    .executeTakeFirst();
  if (lost === undefined) return;
  for (const [there] of repos) {
    await trx.updateTable('ref_update').set({ aside: 1 }).where('repo_id', '=', there).execute();
  }
}

async function mirrorOf(
  trx: Transaction<Tables>,
  serverId: string,
  remoteId: string,
): Promise<string | undefined> {
  const row = await trx
    .selectFrom('server_link')
    .select('repo_id')
    .where('server_id', '=', serverId)
    .where('remote_id', '=', remoteId)
    .executeTakeFirst();
  return row?.repo_id;
}

/** Who is who: users and orgs of the one before are the leader's to tell of. */
async function knowAnew(
  { trx }: Write,
  {
    leader,
    before,
    glass,
  }: { leader: Server; before: Server | undefined; glass: string | undefined },
  { people, epoch }: Pick<Heritage, 'people'> & { epoch: number },
): Promise<void> {
  for (const [there, own, kind] of people) {
    const known = before && (await personOf(trx, before.id, there));
    const localId = before === undefined ? there : (known?.local_id ?? there);
    const name = await trx
      .selectFrom('namespace')
      .select('name')
      .where('owner_id', '=', localId)
      .where('current', '=', sql.lit(1))
      .executeTakeFirst();
    // One without a name here was deleted, or never came: the log makes it known.
    if (name === undefined) continue;
    const ours = Number(localId !== glass && known?.ours !== 0);
    const row = { kind, called: name.name, local_id: localId, ours, epoch };
    await trx
      .insertInto('followed')
      .values({ server_id: leader.id, remote_id: own, ...row })
      .onConflict((on) => on.columns(['server_id', 'remote_id']).doUpdateSet(row))
      .execute();
    await trx
      .insertInto('mirror_namespace')
      .values({ owner_id: localId, server_id: leader.id })
      .onConflict((on) => on.column('owner_id').doUpdateSet({ server_id: leader.id }))
      .execute();
  }
}

async function personOf(trx: Transaction<Tables>, serverId: string, remoteId: string) {
  return trx
    .selectFrom('followed')
    .select(['local_id', 'ours'])
    .where('server_id', '=', serverId)
    .where('remote_id', '=', remoteId)
    .executeTakeFirst();
}

/** The main that was followed leads nobody here any more, and has nothing to do with what is linked with the leader. */
async function retire(trx: Transaction<Tables>, before: Server, origin: string): Promise<void> {
  const set = { role: 'dev', house_id: origin } as const;
  await trx.updateTable('server').set(set).where('id', '=', before.id).execute();
  await trx
    .deleteFrom('server_link')
    .where('server_id', '=', before.id)
    .where('born_there', '=', sql.lit(1))
    .execute();
  for (const table of ['following', 'followed', 'followed_wish', 'sync_mark'] as const) {
    await trx.deleteFrom(table).where('server_id', '=', before.id).execute();
  }
}

/** So that this server can tell the one before, which may not know yet. */
async function noteFollowed(
  { trx, now }: Write,
  leader: Server,
  { term, origin }: LeadStart,
): Promise<void> {
  const row = { state: 'followed', origin, term, recalled: 1, at: now } as const;
  await trx
    .insertInto('lead')
    .values({ server_id: leader.id, ...row })
    .execute();
}
