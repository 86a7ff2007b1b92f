import { UserError } from '../model/errors.ts';
import type { Role } from '../model/right.ts';
import type { Write } from './changes.ts';

/** Gives a user a role in an org, or takes the membership, and the teams with it, where there is none. */
export async function putMember(
  { trx }: Write,
  orgId: string,
  userId: string,
  role: Role | undefined,
): Promise<void> {
  await trx
    .deleteFrom('org_member')
    .where('org_id', '=', orgId)
    .where('user_id', '=', userId)
    .execute();
  if (role === undefined) {
    const teams = trx.selectFrom('team').select('id').where('org_id', '=', orgId);
    await trx
      .deleteFrom('team_member')
      .where('user_id', '=', userId)
      .where('team_id', 'in', teams)
      .execute();
    return;
  }
  await trx.insertInto('org_member').values({ org_id: orgId, user_id: userId, role }).execute();
}

/** @throws UserError `conflict` when nobody else who is active owns the org */
export async function refuseLastOwner(
  { trx }: Write,
  org: { id: string; name: string },
  user: { id: string; name: string },
): Promise<void> {
  const other = await trx
    .selectFrom('org_member')
    .innerJoin('user', 'user.id', 'org_member.user_id')
    .select('user_id')
    .where('org_id', '=', org.id)
    .where('role', '=', 'owner')
    .where('user_id', '<>', user.id)
    .where('user.state', '=', 'active')
    .limit(1)
    .executeTakeFirst();
  if (other !== undefined) return;
  throw new UserError('conflict', `${user.name} is the last owner of ${org.name}`, {
    hint: `make somebody else owner first: org member role ${org.name} USER owner`,
  });
}

/** The orgs that nobody who is active would own without this user. */
export function orphanedBy({ trx }: Write, userId: string) {
  return trx
    .selectFrom('org_member as mine')
    .innerJoin('org', 'org.id', 'mine.org_id')
    .select(['org.id', 'org.name'])
    .where('mine.user_id', '=', userId)
    .where('mine.role', '=', 'owner')
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('org_member as other')
            .innerJoin('user', 'user.id', 'other.user_id')
            .select('other.user_id')
            .whereRef('other.org_id', '=', 'mine.org_id')
            .where('other.role', '=', 'owner')
            .where('other.user_id', '<>', userId)
            .where('user.state', '=', 'active'),
        ),
      ),
    );
}

/** Takes the place of every org's last active owner. @returns the names of these orgs */
export async function inherit(
  w: Write,
  user: { id: string; name: string },
  heir: { id: string; name: string } | undefined,
): Promise<readonly string[]> {
  const orphans = await orphanedBy(w, user.id).execute();
  const names = orphans.map(({ name }) => name);
  if (orphans.length > 0 && heir === undefined) {
    throw new UserError('conflict', `${user.name} is the last owner of ${names.join(', ')}`, {
      hint: 'name the user who owns it from now on: --repos-to USER',
    });
  }
  for (const org of heir === undefined ? [] : orphans) {
    await putMember(w, org.id, heir?.id ?? '', 'owner');
    await putMember(w, org.id, user.id, undefined);
    for (const [who, role] of [
      [heir?.name, 'owner'],
      [user.name, null],
    ]) {
      const detail = { org: org.name, user: who, role };
      await w.log({ type: 'member-changed', subjectId: org.id, detail });
    }
  }
  return names;
}
