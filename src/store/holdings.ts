import type { Right, Role } from '../model/right.ts';
import { compiled } from './compiled.ts';
import type { Database } from './sqlite.ts';

/** What a user holds that bears on one repository; the pure rules turn it into a right. */
export interface Holdings {
  readonly orgRole: Role | undefined;
  readonly orgName: string | undefined;
  readonly memberRight: Right;
  readonly grants: readonly { readonly right: Right; readonly via: string }[];
}

export interface RepoRef {
  readonly id: string;
  readonly namespaceId: string;
}

/** Orgs, each with what a user is there. */
export const orgsOf = (db: Database, userId: string, ids: readonly string[]) =>
  db
    .selectFrom('org')
    .leftJoin('org_member', (join) =>
      join.onRef('org_member.org_id', '=', 'org.id').on('org_member.user_id', '=', userId),
    )
    .select(['org.id', 'org.name', 'org.member_right', 'org_member.role'])
    .where('org.id', 'in', ids);

/** What was granted to users, orgs, teams and keys. @param on - ids of repositories and orgs */
const allGrantsOn = (db: Database, on: readonly string[]) =>
  db
    .selectFrom('access_grant')
    .leftJoin('org', 'org.id', 'access_grant.who_id')
    .leftJoin('team', 'team.id', 'access_grant.who_id')
    .select(['access_grant.right', 'on_id', 'who_id', 'who_kind', 'on_kind'])
    .select(['org.name as org', 'team.name as team'])
    .where('on_id', 'in', on);

/** What was granted to a user, an org or a team of the user. @param on - ids of repositories and orgs */
export const grantsOn = (db: Database, userId: string, on: readonly string[]) =>
  allGrantsOn(db, on).where((eb) =>
    eb(
      'who_id',
      'in',
      eb
        .selectFrom('user')
        .select('id')
        .where('id', '=', userId)
        .unionAll(eb.selectFrom('org_member').select('org_id as id').where('user_id', '=', userId))
        .unionAll(
          eb.selectFrom('team_member').select('team_id as id').where('user_id', '=', userId),
        ),
    ),
  );

type Rows<Q extends { execute(): Promise<readonly unknown[]> }> = Awaited<ReturnType<Q['execute']>>;
type OrgRow = Rows<ReturnType<typeof orgsOf>>[number];
type HeldRow = Rows<ReturnType<typeof grantsOn>>[number];

export function byTarget(rows: readonly HeldRow[]): Map<string, Holdings['grants']> {
  const grants = new Map<string, Holdings['grants']>();
  for (const { right, on_id, who_kind, on_kind, org, team } of rows) {
    const where = on_kind === 'org' ? ' on the org' : '';
    const to = who_kind === 'user' ? '' : ` to ${who_kind} ${org ?? team}`;
    const held = grants.get(on_id) ?? [];
    grants.set(on_id, [...held, { right, via: `${right} by a grant${where}${to}` }]);
  }
  return grants;
}

export function together(
  { id, namespaceId }: RepoRef,
  org: OrgRow | undefined,
  grants: ReadonlyMap<string, Holdings['grants']>,
): Holdings {
  return {
    orgRole: org?.role ?? undefined,
    orgName: org?.name,
    memberRight: org?.member_right ?? 'none',
    grants: [...(grants.get(id) ?? []), ...(grants.get(namespaceId) ?? [])],
  };
}

/** Compiled, of one org. */
export const orgOf = (db: Database) =>
  compiled(db, (userId: string, id: string) => orgsOf(db, userId, [id]));

/** Compiled, on one repository and its namespace. */
export const grantsOnOne = (db: Database) =>
  compiled(db, (userId: string, id: string, namespaceId: string) =>
    grantsOn(db, userId, [id, namespaceId]),
  );

/** What each of some users holds on one repository, in their order. */
export async function holdingsOf(
  db: Database,
  userIds: readonly string[],
  repo: RepoRef,
): Promise<readonly Holdings[]> {
  const { id, namespaceId } = repo;
  const grants = await allGrantsOn(db, [id, namespaceId]).execute();
  const org = await db
    .selectFrom('org')
    .select(['id', 'name', 'member_right'])
    .where('id', '=', namespaceId)
    .executeTakeFirst();
  const orgs = [namespaceId, ...grants.map(({ who_id }) => who_id)];
  const inOrgs = await db
    .selectFrom('org_member')
    .select(['user_id', 'org_id as of', 'role'])
    .where('user_id', 'in', userIds)
    .where('org_id', 'in', orgs)
    .execute();
  const inTeams = await db
    .selectFrom('team_member')
    .select(['user_id', 'team_id as of'])
    .where('user_id', 'in', userIds)
    .where('team_id', 'in', orgs)
    .execute();
  const roles = new Map(
    inOrgs.filter(({ of }) => of === namespaceId).map(({ user_id, role }) => [user_id, role]),
  );
  const are = new Map(userIds.map((userId) => [userId, new Set([userId])]));
  for (const { user_id, of } of [...inOrgs, ...inTeams]) are.get(user_id)?.add(of);
  return userIds.map((userId) => {
    const role = roles.get(userId) ?? null;
    const held = grants.filter(({ who_id }) => are.get(userId)?.has(who_id));
    return together(repo, org && { ...org, role }, byTarget(held));
  });
}
