import { UserError } from '../model/errors.ts';
import type { Right, Role } from '../model/right.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import { putMember, refuseLastOwner } from './members.ts';
import { retireName, takeName } from './names.ts';
import { dropRules } from './rules.ts';
import type { Database } from './sqlite.ts';
import { inTrash } from './trash.ts';

export interface Org {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** What the role `member` gives on the org's repositories. */
  readonly memberRight: Right;
  readonly createdAt: string;
}

export interface Member {
  readonly user: string;
  readonly role: Role;
}

export class Orgs {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * @param ownerId - the user who becomes its first owner; undefined where the operator creates it
   * @throws UserError `conflict` when the name is taken
   */
  async add(
    org: { name: string; description: string; ownerId: string | undefined },
    by: Actor,
  ): Promise<string> {
    return write(this.#db, by, async (w) => {
      const id = newId();
      const { name, description } = org;
      await takeName(w, name, 'org', id);
      await w.trx
        .insertInto('org')
        .values({ id, name, description, member_right: 'read', created_at: w.now })
        .execute();
      await w.log({ type: 'org-added', subjectId: id, detail: { name } });
      if (org.ownerId !== undefined) await putMember(w, id, org.ownerId, 'owner');
      return id;
    });
  }

  async byName(name: string): Promise<Org | undefined> {
    const row = await this.#db
      .selectFrom('org')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    return (
      row && {
        id: row.id,
        name: row.name,
        description: row.description,
        memberRight: row.member_right,
        createdAt: row.created_at,
      }
    );
  }

  async page(
    after: string,
    limit: number,
  ): Promise<readonly { name: string; description: string }[]> {
    return this.#db
      .selectFrom('org')
      .select(['name', 'description'])
      .where('name', '>', after)
      .orderBy('name')
      .limit(limit)
      .execute();
  }

  async members(orgId: string): Promise<readonly Member[]> {
    return this.#db
      .selectFrom('org_member')
      .innerJoin('user', 'user.id', 'org_member.user_id')
      .select(['user.name as user', 'org_member.role'])
      .where('org_member.org_id', '=', orgId)
      .orderBy('user.name')
      .execute();
  }

  /** The orgs that a user is a member of, in the order of their names. */
  async rolesOf(userId: string): Promise<readonly { org: string; role: Role }[]> {
    return this.#db
      .selectFrom('org_member')
      .innerJoin('org', 'org.id', 'org_member.org_id')
      .select(['org.name as org', 'org_member.role'])
      .where('org_member.user_id', '=', userId)
      .orderBy('org.name')
      .execute();
  }

  /** @returns whether anything changed */
  async set(
    org: Org,
    settings: { memberRight?: Right | undefined; description?: string | undefined },
    by: Actor,
  ): Promise<boolean> {
    const next = {
      member_right: settings.memberRight ?? org.memberRight,
      description: settings.description ?? org.description,
    };
    if (next.member_right === org.memberRight && next.description === org.description) return false;
    return write(this.#db, by, async (w) => {
      await w.trx.updateTable('org').set(next).where('id', '=', org.id).execute();
      await w.log({ type: 'org-set', subjectId: org.id, detail: { name: org.name, ...next } });
      return true;
    });
  }

  /**
   * Ends an org: members, teams and grants go with it, the name stays reserved.
   *
   * @throws UserError `conflict` while it has repositories
   */
  async remove(org: Org, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      const repo = await w.trx
        .selectFrom('repository')
        .select(['name', 'deleted_at'])
        .where('namespace_id', '=', org.id)
        .limit(1)
        .executeTakeFirst();
      if (repo !== undefined) {
        throw repo.deleted_at === null
          ? new UserError(
              'conflict',
              `${org.name} has repositories, ${org.name}/${repo.name} among them`,
              {
                hint: `move or delete them first; see them with: list --namespace ${org.name}`,
              },
            )
          : inTrash(org.name, repo.name);
      }
      const teams = w.trx.selectFrom('team').select('id').where('org_id', '=', org.id);
      await w.trx.deleteFrom('access_grant').where('who_id', 'in', teams).execute();
      await w.trx.deleteFrom('access_grant').where('who_id', '=', org.id).execute();
      await w.trx.deleteFrom('access_grant').where('on_id', '=', org.id).execute();
      await dropRules(w, org.id);
      await w.trx.deleteFrom('org').where('id', '=', org.id).execute();
      await retireName(w, org.id);
      await w.log({ type: 'org-deleted', subjectId: org.id, detail: { name: org.name } });
    });
  }

  async role(orgId: string, userId: string): Promise<Role | undefined> {
    const row = await this.#db
      .selectFrom('org_member')
      .select('role')
      .where('org_id', '=', orgId)
      .where('user_id', '=', userId)
      .executeTakeFirst();
    return row?.role;
  }

  /**
   * Gives a user a role, or takes the membership when `role` is undefined.
   *
   * @param expected - the role the decision was made on; anything else by now is a `conflict`
   * @returns whether anything changed
   * @throws UserError `conflict` when it would leave the org without an owner
   */
  async setRole(
    org: Org,
    user: { id: string; name: string },
    change: { from: Role | undefined; to: Role | undefined },
    by: Actor,
  ): Promise<boolean> {
    if (change.from === change.to) return false;
    return write(this.#db, by, async (w) => {
      await refuseStale(w, org, user, change.from);
      if (change.from === 'owner') await refuseLastOwner(w, org, user);
      await putMember(w, org.id, user.id, change.to);
      const detail = { org: org.name, user: user.name, role: change.to ?? null };
      await w.log({ type: 'member-changed', subjectId: org.id, detail });
      return true;
    });
  }
}

async function refuseStale(
  { trx }: Write,
  org: Org,
  user: { id: string; name: string },
  from: Role | undefined,
): Promise<void> {
  const row = await trx
    .selectFrom('org_member')
    .select('role')
    .where('org_id', '=', org.id)
    .where('user_id', '=', user.id)
    .executeTakeFirst();
  if (row?.role === from) return;
  throw new UserError('conflict', `${org.name}: the role of ${user.name} changed meanwhile`, {
    hint: `look again with: org member list ${org.name}`,
  });
}
