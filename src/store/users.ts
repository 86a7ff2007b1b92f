import { sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import { compiled } from './compiled.ts';
import { insertKey, type NewKey, revokeKeys } from './key-writes.ts';
import { inherit, orphanedBy } from './members.ts';
import { releaseName, retireName, takeName } from './names.ts';
import type { Database } from './sqlite.ts';
import { inTrash } from './trash.ts';

export interface User {
  readonly id: string;
  readonly name: string;
  readonly state: 'active' | 'disabled' | 'deleted';
  readonly admin: boolean;
  readonly email: string | undefined;
  readonly createdAt: string;
  readonly lastSeenAt: string | undefined;
}

export interface NewUser {
  readonly name: string;
  readonly admin: boolean;
  readonly email?: string | undefined;
  readonly key?: NewKey['key'] | undefined;
}

/** Written into the query: SQLite takes a partial index only where it sees the index's own condition. */
const deleted = sql.lit('deleted' as const);

const userById = (db: Database) =>
  compiled(db, (id: string) => db.selectFrom('user').selectAll().where('id', '=', id));

/** Users: people and robots. Rows are never removed, so that an id always leads to a name. */
export class Users {
  readonly #db: Database;
  readonly #byId: ReturnType<typeof userById>;

  constructor(db: Database) {
    this.#db = db;
    this.#byId = userById(db);
  }

  /** @throws UserError `conflict` when the name, or the key, is taken */
  async add(user: NewUser, by: Actor): Promise<string> {
    return write(this.#db, by, async (w) => {
      const id = await insertUser(w, user);
      if (user.key !== undefined) {
        await insertKey(w, by, { key: user.key, userId: id, verified: true });
      }
      return id;
    });
  }

  async byId(id: string): Promise<User | undefined> {
    return toUser((await this.#byId(id))[0]);
  }

  async byName(name: string): Promise<User | undefined> {
    return toUser(
      await this.#db
        .selectFrom('user')
        .selectAll()
        .where('name', '=', name)
        .where('state', '<>', deleted)
        .executeTakeFirst(),
    );
  }

  /** Has there ever been one? (S7: `CPM_ADMIN` means nothing after that.) */
  async any(): Promise<boolean> {
    return (
      (await this.#db.selectFrom('user').select('id').limit(1).executeTakeFirst()) !== undefined
    );
  }

  async firstAdmin(): Promise<User | undefined> {
    return toUser(
      await this.#db
        .selectFrom('user')
        .selectAll()
        .where('admin', '=', sql.lit(1))
        .orderBy('created_at')
        .limit(1)
        .executeTakeFirst(),
    );
  }

  /** How many there are, disabled ones among them. */
  async count(): Promise<number> {
    const row = await this.#db
      .selectFrom('user')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('state', '<>', deleted)
      .executeTakeFirstOrThrow();
    return row.count;
  }

  /** A page of users in the order of their names, with the number of their keys that can sign in or may once do. */
  async page(after: string, limit: number): Promise<readonly (User & { readonly keys: number })[]> {
    const rows = await this.#db
      .selectFrom('user')
      .selectAll('user')
      .select((eb) =>
        eb
          .selectFrom('ssh_key')
          .select(eb.fn.countAll<number>().as('n'))
          .whereRef('ssh_key.user_id', '=', 'user.id')
          .where('revoked_at', 'is', null)
          .as('keys'),
      )
      .where('state', '<>', deleted)
      .where('name', '>', after)
      .orderBy('name')
      .limit(limit)
      .execute();
    return rows.map((row) => ({ ...(toUser(row) as User), keys: row.keys ?? 0 }));
  }

  /** @returns whether anything changed */
  async setState(user: User, state: 'active' | 'disabled', by: Actor): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const changed = await setColumn(w, user.id, { state });
      const type = state === 'active' ? 'user-enabled' : 'user-disabled';
      if (changed) await w.log({ type, subjectId: user.id, detail: { name: user.name } });
      return changed;
    });
  }

  /**
   * Disables a leaver, and has an heir own the orgs that would have no owner then.
   *
   * @returns whether the account was active, and the names of these orgs
   * @throws UserError `conflict` when there are any, and no heir
   */
  async offboard(
    user: User,
    heir: User | undefined,
    by: Actor,
  ): Promise<{ disabled: boolean; orgs: readonly string[] }> {
    return write(this.#db, by, async (w) => {
      const orgs = await inherit(w, user, heir);
      const disabled = await setColumn(w, user.id, { state: 'disabled' });
      const detail = { name: user.name };
      if (disabled) await w.log({ type: 'user-disabled', subjectId: user.id, detail });
      return { disabled, orgs };
    });
  }

  /** Makes a site admin, or takes that back. @returns whether anything changed */
  async setAdmin(user: User, admin: boolean, by: Actor): Promise<boolean> {
    if (user.admin === admin) return false;
    return write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('user')
        .set({ admin: Number(admin) })
        .where('id', '=', user.id)
        .execute();
      const type = admin ? 'admin-given' : 'admin-taken';
      await w.log({ type, subjectId: user.id, detail: { name: user.name } });
      return true;
    });
  }

  /** Frees a name that a user or org had before. @returns whether it was reserved. @throws UserError `conflict` */
  async release(name: string, by: Actor): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const changed = await releaseName(w, name);
      if (changed) await w.log({ type: 'name-released', detail: { name } });
      return changed;
    });
  }

  /**
   * Ends a user for good: keys revoked, memberships and grants gone, the name reserved.
   *
   * @returns the ids of the keys that ended, those of others that they had added too
   * @throws UserError `conflict` while repositories or the last ownership of an org hang on the user
   */
  async remove(user: User, by: Actor): Promise<readonly string[]> {
    return write(this.#db, by, async (w) => {
      await refuseOwner(w, user);
      const ended = await revokeKeys(w, { userId: user.id });
      await w.trx.deleteFrom('access_grant').where('who_id', '=', user.id).execute();
      await w.trx.deleteFrom('org_member').where('user_id', '=', user.id).execute();
      await w.trx.deleteFrom('team_member').where('user_id', '=', user.id).execute();
      await w.trx
        .updateTable('user')
        .set({ state: 'deleted', admin: 0 })
        .where('id', '=', user.id)
        .execute();
      await retireName(w, user.id);
      await w.log({ type: 'user-deleted', subjectId: user.id, detail: { name: user.name } });
      return ended;
    });
  }

  /** Notes sign-ins; no change rows: they are in the audit record. */
  async seen(
    signIns: readonly { readonly userId?: string; readonly keyId: string; readonly at: string }[],
  ): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      for (const { userId, keyId, at } of signIns) {
        if (userId !== undefined) {
          await trx
            .updateTable('user')
            .set({ last_seen_at: at })
            .where('id', '=', userId)
            .execute();
        }
        await trx
          .updateTable('ssh_key')
          .set({ last_used_at: at })
          .where('id', '=', keyId)
          .execute();
      }
    });
  }
}

/** Adds a user without keys. @returns the id. @throws UserError `conflict` when the name is taken */
export async function insertUser(
  w: Write,
  { name, admin, email }: Omit<NewUser, 'key'>,
): Promise<string> {
  const id = newId();
  await takeName(w, name, 'user', id);
  const row = { id, name, state: 'active' as const, admin: Number(admin) };
  await w.trx
    .insertInto('user')
    .values({ ...row, email: email ?? null, created_at: w.now, last_seen_at: null })
    .execute();
  await w.log({ type: 'user-added', subjectId: id, detail: { name, admin } });
  return id;
}

async function refuseOwner(w: Write, user: User): Promise<void> {
  const repo = await w.trx
    .selectFrom('repository')
    .select(['name', 'deleted_at'])
    .where('namespace_id', '=', user.id)
    .limit(1)
    .executeTakeFirst();
  if (repo !== undefined && repo.deleted_at !== null) throw inTrash(user.name, repo.name);
  if (repo !== undefined) {
    throw new UserError(
      'conflict',
      `${user.name} owns repositories, ${user.name}/${repo.name} among them`,
      {
        hint: `disable the account instead: user disable ${user.name}`,
      },
    );
  }
  const orphan = await orphanedBy(w, user.id).limit(1).executeTakeFirst();
  if (orphan === undefined) return;
  throw new UserError('conflict', `${user.name} is the last owner of ${orphan.name}`, {
    hint: `make somebody else owner first: org member role ${orphan.name} USER owner`,
  });
}

async function setColumn(
  { trx }: Write,
  id: string,
  { state }: { state: 'active' | 'disabled' },
): Promise<boolean> {
  const result = await trx
    .updateTable('user')
    .set({ state })
    .where('id', '=', id)
    .where('state', '<>', state)
    .where('state', '<>', 'deleted')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

function toUser(
  row:
    | {
        id: string;
        name: string;
        state: User['state'];
        admin: number;
        email: string | null;
        created_at: string;
        last_seen_at: string | null;
      }
    | undefined,
): User | undefined {
  if (row === undefined) return undefined;
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    admin: row.admin === 1,
    email: row.email ?? undefined,
    createdAt: row.created_at,
    lastSeenAt: row.last_seen_at ?? undefined,
  };
}
