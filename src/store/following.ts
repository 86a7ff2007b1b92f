import { sql } from 'kysely';
import { type ChangeEntry, genesis, type LogPosition } from '../model/change-entry.ts';
import { UserError } from '../model/errors.ts';
import type { SignedHead } from './audit-heads.ts';
import { breakGlassOf, keepBreakGlass } from './break-glass.ts';
import { countOf, setCount } from './change-entries.ts';
import { type Actor, type Write, write } from './changes.ts';
import type { RepoBody } from './log-bodies.ts';
import { type Import, takeEntry } from './log-import.ts';
import { takePaths } from './log-import-repos.ts';
import type { Server } from './servers.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** How far another server's change log is followed here. */
export interface Followed extends LogPosition {
  readonly serverId: string;
  /** Whether users, keys, organizations, rights and rules are taken from it, and not repositories alone. */
  readonly identities: boolean;
  /** The key that signs it: the base64 of its blob. */
  readonly signKey: string;
  /** When something of it was taken last. */
  readonly heardAt: string | undefined;
  /** Why nothing more is taken of it. */
  readonly error: string | undefined;
}

/** How a log is begun to be followed. */
export interface FollowStart {
  readonly identities: boolean;
  /** The base64 of the blob of the key that signs it. */
  readonly signKey: string;
  readonly position: Omit<LogPosition, 'seq' | 'hash'>;
  /** The id of the site admin whom no log changes. */
  readonly breakGlass: string | undefined;
}

/** What taking entries came to, for those who have something open here. */
export interface Taken {
  readonly position: LogPosition;
  readonly endedKeys: readonly string[];
  readonly endedUsers: readonly string[];
  /** Keys that end by themselves, and when. */
  readonly ending: readonly { readonly keyId: string; readonly at: string }[];
}

/** Audit heads that are kept of a server. */
const headsKept = 100;

/** The change logs of other servers, as far as they are taken in here (S19, S22). */
export class Following {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async of(serverId: string): Promise<Followed | undefined> {
    const row = await this.#db
      .selectFrom('following')
      .selectAll()
      .where('server_id', '=', serverId)
      .executeTakeFirst();
    return row && toFollowed(row);
  }

  /** All of them: one or two. */
  async list(): Promise<readonly Followed[]> {
    const rows = await this.#db.selectFrom('following').selectAll().execute();
    return rows.map(toFollowed);
  }

  /** Follows a server from the beginning of its log on, or once more from there. */
  async begin(server: Server, start: FollowStart, by: Actor): Promise<void> {
    await write(this.#db, by, (w) => beginFollowing(w, server, start));
  }

  /**
   * Takes entries in, all of them or none, if the log is still followed as far as `after` says. They were checked: each
   * follows the one before.
   *
   * @throws UserError `conflict` when somebody else was quicker
   */
  async take(
    server: Server,
    after: LogPosition,
    { entries, by }: { entries: readonly ChangeEntry[]; by: Actor },
  ): Promise<Taken> {
    return write(this.#db, by, async (w) => {
      const all = w.trx.selectFrom('following').selectAll();
      const row = await all.where('server_id', '=', server.id).executeTakeFirst();
      if (row === undefined || row.hash !== after.hash || row.epoch !== after.epoch) {
        throw new UserError('conflict', `${server.name}: its log was taken in meanwhile`);
      }
      await sql`pragma defer_foreign_keys = on`.execute(w.trx);
      const into: Import = {
        w,
        server,
        identities: row.identities === 1,
        epoch: row.epoch,
        breakGlass: await breakGlassOf(w),
        ended: { keys: [], users: [], ending: [] },
      };
      for (const entry of entries) await takeEntry(into, entry);
      const last = entries.at(-1);
      const { origin } = row;
      const position = last === undefined ? after : { ...last, origin };
      const { term, epoch, seq, hash } = position;
      await w.trx
        .updateTable('following')
        .set({ term, seq, hash, heard_at: w.now })
        .where('server_id', '=', server.id)
        .execute();
      if (term > (await countOf(w.trx, 'log_term'))) await setCount(w.trx, 'log_term', term);
      if (last !== undefined) {
        const detail = { server: server.name, from: after.seq, to: seq };
        await w.log({ type: 'log-taken', subjectId: server.id, detail });
      }
      const { keys: endedKeys, users: endedUsers, ending } = into.ended;
      return { position: { origin, term, epoch, seq, hash }, endedKeys, endedUsers, ending };
    });
  }

  /** A restored main begins its log anew: so does who follows it. @param epoch - higher than the one known */
  async restart(server: Server, epoch: number, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('following')
        .set({ epoch, seq: 0, hash: genesis })
        .where('server_id', '=', server.id)
        .execute();
      await w.log({
        type: 'log-begun-anew',
        subjectId: server.id,
        detail: { server: server.name },
      });
    });
  }

  /**
   * All of a log that was begun anew is here: whom it did not name the main does not know any more.
   *
   * @returns the ids of the users that were disabled for it
   */
  async endUnknown(server: Server, by: Actor): Promise<readonly string[]> {
    return write(this.#db, by, async (w) => {
      const { trx } = w;
      const rows = await trx
        .selectFrom('followed')
        .innerJoin('following', 'following.server_id', 'followed.server_id')
        .innerJoin('user', 'user.id', 'followed.local_id')
        .select(['user.id', 'user.name'])
        .where('followed.server_id', '=', server.id)
        .whereRef('followed.epoch', '<', 'following.epoch')
        .where('followed.ours', '=', sql.lit(1))
        .where('user.state', '=', 'active')
        .execute();
      for (const { id, name } of rows) {
        await trx.updateTable('user').set({ state: 'disabled' }).where('id', '=', id).execute();
        await w.log({ type: 'user-disabled', subjectId: id, detail: { name } });
      }
      return rows.map(({ id }) => id);
    });
  }

  /** Nothing more is taken of a log until somebody follows it once more: all with the server stops. */
  async hold(server: Server, error: string, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('following')
        .set({ error })
        .where('server_id', '=', server.id)
        .execute();
      await w.trx
        .updateTable('server')
        .set({ state: 'untrusted', error })
        .where('id', '=', server.id)
        .execute();
      await w.log({
        type: 'log-held',
        subjectId: server.id,
        detail: { server: server.name, error },
      });
    });
  }

  /** What the log says of a repository, beyond where it lies, once it is in its place. */
  async complete(
    server: Server,
    repoId: string,
    { body, by }: { body: RepoBody; by: Actor },
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      const { description, visibility, archived, created_at } = body;
      await w.trx
        .updateTable('repository')
        .set({ description, visibility, archived, created_at })
        .where('id', '=', repoId)
        .execute();
      await takePaths({ w, server }, repoId, body);
      const detail = { description, visibility, archived: archived === 1 };
      await w.log({ type: 'repo-set', repoId, detail });
    });
  }

  /** The user or org here that one of a server is; undefined where it was never told of. */
  async localId(serverId: string, remoteId: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('followed')
      .select('local_id')
      .where('server_id', '=', serverId)
      .where('remote_id', '=', remoteId)
      .executeTakeFirst();
    return row?.local_id;
  }

  /** The users and orgs that are another one here, called otherwise, or not kept as they are there. */
  async differing(serverId: string) {
    return this.#db
      .selectFrom('followed')
      .leftJoin('namespace', (join) =>
        join
          .onRef('namespace.owner_id', '=', 'followed.local_id')
          .on('namespace.current', '=', sql.lit(1)),
      )
      .select(['followed.kind', 'remote_id as remoteId', 'local_id as localId', 'ours', 'called'])
      .select('namespace.name')
      .where('server_id', '=', serverId)
      .where((eb) =>
        eb.or([
          eb('remote_id', '<>', eb.ref('local_id')),
          eb('ours', '=', sql.lit(0)),
          eb('called', '<>', eb.ref('namespace.name')),
        ]),
      )
      .execute();
  }

  /** The newest head of a server's audit record that its log told of. */
  async auditHead(serverId: string): Promise<SignedHead | undefined> {
    return this.#db
      .selectFrom('followed_audit_head')
      .select(['seq', 'hash', 'at', 'signature'])
      .where('server_id', '=', serverId)
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
  }

  /** Lets go of audit heads that are too many. */
  async trimAuditHeads(serverId: string): Promise<void> {
    const oldest = this.#db
      .selectFrom('followed_audit_head')
      .select('seq')
      .where('server_id', '=', serverId)
      .orderBy('seq', 'desc')
      .limit(1)
      .offset(headsKept);
    await this.#db
      .deleteFrom('followed_audit_head')
      .where('server_id', '=', serverId)
      .where('seq', '<=', oldest)
      .execute();
  }
}

/** @see Following.begin */
export async function beginFollowing(w: Write, server: Server, start: FollowStart): Promise<void> {
  const { origin, term, epoch } = start.position;
  const place = { origin, term, epoch, seq: 0, hash: genesis };
  const row = { ...place, identities: Number(start.identities), sign_key: start.signKey };
  await w.trx
    .insertInto('following')
    .values({ server_id: server.id, ...row, heard_at: null, error: null, since: w.now })
    .onConflict((on) => on.column('server_id').doUpdateSet({ ...row, error: null }))
    .execute();
  await keepBreakGlass(w, start.breakGlass);
  await w.trx
    .updateTable('server')
    .set({ state: 'unknown', error: null })
    .where('id', '=', server.id)
    .execute();
  const detail = { server: server.name, identities: start.identities };
  await w.log({ type: 'server-followed', subjectId: server.id, detail });
}

function toFollowed(row: Tables['following']): Followed {
  const { origin, term, epoch, seq, hash } = row;
  return {
    ...{ origin, term, epoch, seq, hash },
    serverId: row.server_id,
    identities: row.identities === 1,
    signKey: row.sign_key,
    heardAt: row.heard_at ?? undefined,
    error: row.error ?? undefined,
  };
}
