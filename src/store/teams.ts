import { UserError } from '../model/errors.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import type { Database } from './sqlite.ts';

interface Named {
  readonly id: string;
  readonly name: string;
}

/** Teams: named groups of an org's members. */
export class Teams {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async find(orgId: string, name: string): Promise<Named | undefined> {
    return this.#db
      .selectFrom('team')
      .select(['id', 'name'])
      .where('org_id', '=', orgId)
      .where('name', '=', name)
      .executeTakeFirst();
  }

  async list(orgId: string): Promise<readonly { name: string; users: readonly string[] }[]> {
    const rows = await this.#db
      .selectFrom('team')
      .leftJoin('team_member', 'team_member.team_id', 'team.id')
      .leftJoin('user', 'user.id', 'team_member.user_id')
      .select(['team.name', 'user.name as user'])
      .where('team.org_id', '=', orgId)
      .orderBy('team.name')
      .execute();
    const teams = new Map<string, string[]>();
    for (const { name, user } of rows) {
      const users = teams.get(name) ?? [];
      if (user !== null) users.push(user);
      teams.set(name, users);
    }
    return [...teams].map(([name, users]) => ({ name, users: users.sort() }));
  }

  /**
   * Makes the team if there is none, and puts users into it.
   *
   * @throws UserError `conflict` when one of them is no member of the org; then nothing has changed
   */
  async add(
    org: Named,
    name: string,
    users: readonly Named[],
    by: Actor,
  ): Promise<{ id: string; changed: boolean }> {
    return write(this.#db, by, async (w) => {
      const held = await teamOf(w, org.id, name);
      const id = held?.id ?? newId();
      if (held === undefined) {
        await w.trx.insertInto('team').values({ id, org_id: org.id, name }).execute();
      }
      let changed = held === undefined;
      for (const user of users) {
        await refuseOutsider(w, org, user);
        const { numInsertedOrUpdatedRows = 0n } = await w.trx
          .insertInto('team_member')
          .values({ team_id: id, user_id: user.id })
          .onConflict((on) => on.doNothing())
          .executeTakeFirst();
        changed ||= numInsertedOrUpdatedRows > 0n;
      }
      const detail = { org: org.name, team: name, users: users.map((user) => user.name) };
      if (changed) await w.log({ type: 'team-changed', subjectId: org.id, detail });
      return { id, changed };
    });
  }

  /** Takes users out of a team; without any, the team and its grants are gone. @returns whether anything changed */
  async remove(org: Named, name: string, users: readonly Named[], by: Actor): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const team = await teamOf(w, org.id, name);
      if (team === undefined) return false;
      let changed = users.length === 0;
      if (users.length === 0) {
        await w.trx.deleteFrom('access_grant').where('who_id', '=', team.id).execute();
        await w.trx.deleteFrom('team').where('id', '=', team.id).execute();
      }
      for (const user of users) {
        const { numDeletedRows } = await w.trx
          .deleteFrom('team_member')
          .where('team_id', '=', team.id)
          .where('user_id', '=', user.id)
          .executeTakeFirst();
        changed ||= numDeletedRows > 0n;
      }
      const detail = { org: org.name, team: name, removed: users.map((user) => user.name) };
      if (changed) await w.log({ type: 'team-changed', subjectId: org.id, detail });
      return changed;
    });
  }
}

async function teamOf({ trx }: Write, orgId: string, name: string): Promise<Named | undefined> {
  return trx
    .selectFrom('team')
    .select(['id', 'name'])
    .where('org_id', '=', orgId)
    .where('name', '=', name)
    .executeTakeFirst();
}

async function refuseOutsider({ trx }: Write, org: Named, user: Named): Promise<void> {
  const member = await trx
    .selectFrom('org_member')
    .select('role')
    .where('org_id', '=', org.id)
    .where('user_id', '=', user.id)
    .executeTakeFirst();
  if (member !== undefined) return;
  throw new UserError('conflict', `${user.name} is no member of ${org.name}`, {
    hint: `add the user first: org member add ${org.name} ${user.name}`,
  });
}
