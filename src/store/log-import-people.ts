import { sql } from 'kysely';
import type { KeyBody, MembersBody, OrgBody, UserBody } from './log-bodies.ts';
import type { Import } from './log-import.ts';
import {
  freeName,
  known,
  localIds,
  mirrorOrg,
  putNames,
  remember,
  wish,
} from './log-import-ids.ts';
import { retireName } from './names.ts';
import { dropRules } from './rules.ts';

interface Told<T> {
  /** undefined where the subject is gone. */
  readonly body: T | undefined;
  /** The same as text. */
  readonly text: string;
}

/** A user as the main has it. The break-glass admin of this server stays as he is, whatever it says (S19). */
export async function takeUser(into: Import, id: string, told: Told<UserBody>): Promise<void> {
  const { body } = told;
  if (body === undefined) return;
  const held = (await known(into, id, body.name)) ?? (await meetUser(into, id, body));
  if (!held.ours) return;
  const { w } = into;
  const now = await w.trx
    .selectFrom('user')
    .select(['name', 'state', 'admin', 'email'])
    .where('id', '=', held.localId)
    .executeTakeFirstOrThrow();
  const { state, admin, email } = body;
  if (now.state !== state || now.admin !== admin || now.email !== email) {
    await w.trx
      .updateTable('user')
      .set({ state, admin, email })
      .where('id', '=', held.localId)
      .execute();
    if (state === 'deleted') await retireName(w, held.localId);
    if (state !== 'active') into.ended.users.push(held.localId);
    const detail = { name: now.name, state, admin: admin === 1 };
    await w.log({ type: 'user-set', subjectId: held.localId, detail });
  }
  if (state === 'deleted') return;
  await putNames(into, { id: held.localId, kind: 'user', name: now.name }, body.names);
  if (now.name !== body.name) await wish(into, 'owner', { subject: `user:${id}`, body: told.text });
}

/** Finds out who a user is here, or makes one. */
async function meetUser(into: Import, id: string, body: UserBody) {
  const { w, breakGlass } = into;
  const same = await w.trx.selectFrom('user').select('id').where('id', '=', id).executeTakeFirst();
  const person = same?.id ?? (await samePerson(into, body));
  // One of the same id whom this main never was told to keep stays as he is.
  const ours = same === undefined && person !== breakGlass;
  const localId = person ?? id;
  if (person === undefined) await makeUser(into, id, body);
  await remember(into, { id, kind: 'user', called: body.name, localId, ours });
  return { localId, ours };
}

/** Somebody here of the same name who has one of the same keys. */
async function samePerson({ w }: Import, { name, keys }: UserBody): Promise<string | undefined> {
  if (keys.length === 0) return undefined;
  const row = await w.trx
    .selectFrom('ssh_key')
    .innerJoin('user', 'user.id', 'ssh_key.user_id')
    .select('user.id')
    .where('ssh_key.fingerprint', 'in', keys)
    .where('ssh_key.verified', '=', sql.lit(1))
    .where('ssh_key.revoked_at', 'is', null)
    .where('user.name', '=', name)
    .executeTakeFirst();
  return row?.id;
}

async function makeUser(into: Import, id: string, body: UserBody): Promise<void> {
  const { trx } = into.w;
  const mirror = await mirrorOrg(into, body.name);
  if (mirror !== undefined) await handOver(into, mirror, { id, name: body.name });
  const name = await freeName(into, body.name, id);
  const { state, admin, email, created_at } = body;
  const row = { id, name, state, admin, email, created_at, last_seen_at: null };
  await trx.insertInto('user').values(row).execute();
  if (state !== 'deleted') await putNames(into, { id, kind: 'user', name }, body.names);
  await into.w.log({ type: 'user-added', subjectId: id, detail: { name, admin: admin === 1 } });
}

/** An org that stood here for a user's namespace gives that user its name and its mirrors; their files stay in place. */
async function handOver(
  { w: { trx } }: Import,
  orgId: string,
  user: { readonly id: string; readonly name: string },
): Promise<void> {
  await trx
    .updateTable('repository')
    .set({ namespace_id: user.id })
    .where('namespace_id', '=', orgId)
    .execute();
  await trx.deleteFrom('mirror_namespace').where('owner_id', '=', orgId).execute();
  await trx.deleteFrom('namespace').where('owner_id', '=', orgId).execute();
  await trx.deleteFrom('org').where('id', '=', orgId).execute();
}

/** A public key as the main has it. What is revoked stays revoked, whoever says otherwise (S3, S31). */
export async function takeKey(into: Import, id: string, body: KeyBody | undefined): Promise<void> {
  if (body === undefined) return;
  const owner = body.user_id === null ? undefined : await known(into, body.user_id);
  if (body.user_id !== null && owner?.ours !== true) return;
  const { trx } = into.w;
  const userId = owner?.localId ?? null;
  const held =
    (await trx.selectFrom('ssh_key').selectAll().where('id', '=', id).executeTakeFirst()) ??
    (await trx
      .selectFrom('ssh_key')
      .selectAll()
      .where('fingerprint', '=', body.fingerprint)
      .where('verified', '=', sql.lit(1))
      .executeTakeFirst());
  if (held === undefined) return makeKey(into, id, { ...body, user_id: userId });
  // Somebody else's here: whoever has it signs in as that one.
  if (held.user_id !== userId || held.kind !== body.kind) return;
  const revoked_at = held.revoked_at ?? body.revoked_at;
  const { title, expires_at } = body;
  await trx
    .updateTable('ssh_key')
    .set({ title, expires_at, revoked_at })
    .where('id', '=', held.id)
    .execute();
  if (held.revoked_at === null && revoked_at !== null) {
    into.ended.keys.push(held.id);
    const { fingerprint } = body;
    await into.w.log({ type: 'key-revoked', subjectId: held.id, detail: { fingerprint } });
  } else if (expires_at !== null && expires_at !== held.expires_at) {
    into.ended.ending.push({ keyId: held.id, at: expires_at });
  }
}

async function makeKey(into: Import, id: string, body: KeyBody): Promise<void> {
  const { trx } = into.w;
  const { fingerprint } = body;
  const server = await trx
    .selectFrom('server_key')
    .select('id')
    .where('fingerprint', '=', fingerprint)
    .executeTakeFirst();
  if (server !== undefined) return;
  const parent =
    body.added_by_key === null
      ? undefined
      : await trx
          .selectFrom('ssh_key')
          .select('id')
          .where('id', '=', body.added_by_key)
          .executeTakeFirst();
  const blob = Buffer.from(body.blob, 'base64');
  await trx
    .insertInto('ssh_key')
    .values({ id, ...body, blob, added_by_key: parent?.id ?? null, verified: 1, challenge: null })
    .execute();
  const detail = { fingerprint, user: body.user_id };
  await into.w.log({ type: 'key-added', subjectId: id, detail });
}

/** An organization as the main has it. */
export async function takeOrg(into: Import, id: string, told: Told<OrgBody>): Promise<void> {
  const { body } = told;
  const held = await known(into, id, body?.name);
  if (body === undefined) return held?.ours ? endOrg(into, held.localId) : undefined;
  const { localId, ours } = held ?? (await meetOrg(into, id, body));
  if (!ours) return;
  const { w } = into;
  const now = await w.trx
    .selectFrom('org')
    .select(['name', 'description', 'member_right'])
    .where('id', '=', localId)
    .executeTakeFirst();
  if (now === undefined) return;
  const { description, member_right } = body;
  await w.trx
    .updateTable('org')
    .set({ description, member_right })
    .where('id', '=', localId)
    .execute();
  await putNames(into, { id: localId, kind: 'org', name: now.name }, body.names);
  const detail = { name: now.name, description, member_right };
  await w.log({ type: 'org-set', subjectId: localId, detail });
  if (now.name !== body.name) await wish(into, 'owner', { subject: `org:${id}`, body: told.text });
}

async function meetOrg(into: Import, id: string, body: OrgBody) {
  const { trx } = into.w;
  const same = await trx.selectFrom('org').select('id').where('id', '=', id).executeTakeFirst();
  const mirror = same === undefined ? await mirrorOrg(into, body.name) : undefined;
  const localId = mirror ?? id;
  const ours = same === undefined;
  if (ours && mirror === undefined) {
    const name = await freeName(into, body.name, id);
    const { description, member_right, created_at } = body;
    await trx
      .insertInto('org')
      .values({ id, name, description, member_right, created_at })
      .execute();
    await putNames(into, { id, kind: 'org', name }, []);
    await into.w.log({ type: 'org-added', subjectId: id, detail: { name } });
  }
  await remember(into, { id, kind: 'org', called: body.name, localId, ours });
  return { localId, ours };
}

/** Its repositories are told of by themselves: while one is here, the org is too. */
async function endOrg({ w }: Import, id: string): Promise<void> {
  const { trx } = w;
  const repo = await trx
    .selectFrom('repository')
    .select('id')
    .where('namespace_id', '=', id)
    .limit(1)
    .executeTakeFirst();
  const org = await trx.selectFrom('org').select('name').where('id', '=', id).executeTakeFirst();
  if (repo !== undefined || org === undefined) return;
  const teams = trx.selectFrom('team').select('id').where('org_id', '=', id);
  await trx.deleteFrom('access_grant').where('who_id', 'in', teams).execute();
  await trx.deleteFrom('access_grant').where('who_id', '=', id).execute();
  await trx.deleteFrom('access_grant').where('on_id', '=', id).execute();
  await dropRules(w, id);
  await trx.deleteFrom('org').where('id', '=', id).execute();
  await retireName(w, id);
  await w.log({ type: 'org-deleted', subjectId: id, detail: { name: org.name } });
}

/** All members and teams of an org. */
export async function takeMembers(
  into: Import,
  id: string,
  body: MembersBody | undefined,
): Promise<void> {
  const org = await known(into, id);
  if (body === undefined || org?.ours !== true) return;
  const { w } = into;
  const { trx } = w;
  const here = await trx
    .selectFrom('org')
    .select('name')
    .where('id', '=', org.localId)
    .executeTakeFirst();
  if (here === undefined) return;
  const users = [
    ...body.members.map(([user]) => user),
    ...body.teams.flatMap(([, , inside]) => inside),
  ];
  const local = await localIds(into, users);
  await trx.deleteFrom('org_member').where('org_id', '=', org.localId).execute();
  for (const [user, role] of body.members) {
    await trx
      .insertInto('org_member')
      .values({ org_id: org.localId, user_id: local(user), role })
      .onConflict((on) => on.columns(['org_id', 'user_id']).doNothing())
      .execute();
  }
  await dropTeams(into, org.localId, new Set(body.teams.map(([team]) => team)));
  for (const [team, name, inside] of body.teams) {
    await trx
      .insertInto('team')
      .values({ id: team, org_id: org.localId, name })
      .onConflict((on) => on.column('id').doUpdateSet({ name }))
      .execute();
    await trx.deleteFrom('team_member').where('team_id', '=', team).execute();
    for (const user of inside) {
      await trx
        .insertInto('team_member')
        .values({ team_id: team, user_id: local(user) })
        .onConflict((on) => on.columns(['team_id', 'user_id']).doNothing())
        .execute();
    }
  }
  await w.log({ type: 'member-changed', subjectId: org.localId, detail: { org: here.name } });
}

async function dropTeams({ w: { trx } }: Import, orgId: string, kept: ReadonlySet<string>) {
  const teams = await trx.selectFrom('team').select('id').where('org_id', '=', orgId).execute();
  for (const { id } of teams.filter((each) => !kept.has(each.id))) {
    await trx.deleteFrom('access_grant').where('who_id', '=', id).execute();
    await trx.deleteFrom('team').where('id', '=', id).execute();
  }
}
