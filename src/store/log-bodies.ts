import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import { type Mapped, plain } from './log-ids.ts';
import type { Tables } from './tables.ts';

type Db = Kysely<Tables>;

/** A user as the change log has it. */
export interface UserBody {
  readonly name: string;
  /** Names had before, which stay reserved. */
  readonly names: readonly string[];
  readonly state: 'active' | 'disabled' | 'deleted';
  readonly admin: number;
  readonly email: string | null;
  readonly created_at: string;
  /** Fingerprints of the keys in force: who has one of them here is the same person. */
  readonly keys: readonly string[];
}

/** A public key that was in force once; private ones never travel (S22). */
export type KeyBody = Pick<
  Tables['ssh_key'],
  | 'fingerprint'
  | 'type'
  | 'title'
  | 'kind'
  | 'user_id'
  | 'expires_at'
  | 'added_at'
  | 'added_by'
  | 'added_by_key'
  | 'revoked_at'
> & {
  /** In base64. */
  readonly blob: string;
};

export interface OrgBody {
  readonly name: string;
  readonly names: readonly string[];
  readonly description: string;
  readonly member_right: Tables['org']['member_right'];
  readonly created_at: string;
}

export interface MembersBody {
  readonly members: readonly (readonly [user: string, role: Tables['org_member']['role']])[];
  readonly teams: readonly (readonly [id: string, name: string, users: readonly string[]])[];
}

export type GrantBody = Omit<Tables['access_grant'], 'on_id'>;

export interface RulesBody {
  /** How many numbers were ever given. */
  readonly given: number;
  readonly rules: readonly (Omit<Tables['ref_rule'], 'on_id'> & {
    readonly allow: readonly (readonly [kind: Tables['ref_rule_allow']['who_kind'], id: string])[];
  })[];
}

export interface RepoBody {
  readonly namespace_id: string;
  readonly namespace: string;
  readonly name: string;
  readonly description: string;
  readonly visibility: Tables['repository']['visibility'];
  readonly default_branch: string;
  readonly archived: number;
  readonly created_at: string;
  readonly deleted_at: string | null;
  readonly deleted_by: string | null;
  /** Old names, each by the id of its namespace. */
  readonly redirects: readonly (readonly [namespaceId: string, name: string])[];
  readonly aliases: readonly (readonly [path: string, addedBy: string, addedAt: string])[];
}

/** What a subject of the change log is at this moment; undefined where it is gone, or was never to be told. */
export async function bodyOf(db: Db, subject: string, ids: Mapped = plain): Promise<unknown> {
  const [kind = '', id = '', oid = ''] = subject.split(':');
  const local = ids.toLocal(id);
  switch (kind) {
    case 'user':
      return userBody(db, local);
    case 'key':
      return keyBody(db, local, ids);
    case 'org':
      return orgBody(db, local);
    case 'members':
      return membersBody(db, local, ids);
    case 'repo':
      return repoBody(db, local, ids);
    case 'grants':
      return grantsBody(db, local, ids);
    case 'rules':
      return rulesBody(db, local, ids);
    case 'purge':
      return purgeBody(db, local, oid);
    case 'audit':
      return auditBody(db);
    default:
      throw new Error(`${subject} is no subject of the change log`);
  }
}

async function userBody(db: Db, id: string): Promise<UserBody | undefined> {
  const row = await db
    .selectFrom('user')
    .select(['name', 'state', 'admin', 'email', 'created_at'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const keys = await db
    .selectFrom('ssh_key')
    .select('fingerprint')
    .where('user_id', '=', id)
    .where('verified', '=', 1)
    .where('revoked_at', 'is', null)
    .execute();
  const fingerprints = keys.map(({ fingerprint }) => fingerprint).sort();
  return { ...row, names: await namesOf(db, id, row.name), keys: fingerprints };
}

/** The names that an owner had before. */
async function namesOf(db: Db, ownerId: string, now: string): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('namespace')
    .select('name')
    .where('owner_id', '=', ownerId)
    .execute();
  return rows
    .map(({ name }) => name)
    .filter((name) => name !== now)
    .sort();
}

async function keyBody(db: Db, id: string, ids: Mapped): Promise<KeyBody | undefined> {
  const row = await db
    .selectFrom('ssh_key')
    .select(['fingerprint', 'type', 'blob', 'title', 'kind', 'user_id', 'expires_at', 'added_at'])
    .select(['added_by', 'added_by_key', 'revoked_at'])
    .where('id', '=', id)
    .where('verified', '=', 1)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const user_id = row.user_id === null ? null : ids.toRemote(row.user_id);
  return { ...row, user_id, blob: row.blob.toString('base64') };
}

async function orgBody(db: Db, id: string): Promise<OrgBody | undefined> {
  const row = await db
    .selectFrom('org')
    .select(['name', 'description', 'member_right', 'created_at'])
    .where('id', '=', id)
    .executeTakeFirst();
  return row && { ...row, names: await namesOf(db, id, row.name) };
}

async function membersBody(db: Db, id: string, ids: Mapped): Promise<MembersBody> {
  const members = await db
    .selectFrom('org_member')
    .select(['user_id', 'role'])
    .where('org_id', '=', id)
    .execute();
  const teams = await db
    .selectFrom('team')
    .leftJoin('team_member', 'team_member.team_id', 'team.id')
    .select(['team.id', 'team.name', 'team_member.user_id'])
    .where('team.org_id', '=', id)
    .execute();
  const byId = new Map<string, { name: string; users: string[] }>();
  for (const { id: team, name, user_id } of teams) {
    const users = byId.get(team)?.users ?? [];
    byId.set(team, { name, users: user_id === null ? users : [...users, ids.toRemote(user_id)] });
  }
  return {
    members: members
      .map(({ user_id, role }) => [ids.toRemote(user_id), role] as const)
      .sort(byFirst),
    teams: [...byId]
      .map(([team, { name, users }]) => [team, name, users.sort()] as const)
      .sort(byFirst),
  };
}

function byFirst(a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]): number {
  return a[0] < b[0] ? -1 : 1;
}

async function repoBody(db: Db, id: string, ids: Mapped): Promise<RepoBody | undefined> {
  const row = await db
    .selectFrom('repository')
    .innerJoin('namespace', (join) =>
      join
        .onRef('namespace.owner_id', '=', 'repository.namespace_id')
        .on('namespace.current', '=', sql.lit(1)),
    )
    .select(['repository.namespace_id', 'namespace.name as namespace', 'repository.name'])
    .select(['description', 'visibility', 'default_branch', 'archived', 'created_at'])
    .select(['deleted_at', 'deleted_by'])
    .where('repository.id', '=', id)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const redirects = await db
    .selectFrom('redirect')
    .select(['namespace_id', 'name'])
    .where('repo_id', '=', id)
    .execute();
  const aliases = await db
    .selectFrom('alias')
    .select(['path', 'added_by', 'added_at'])
    .where('repo_id', '=', id)
    .execute();
  return {
    ...row,
    namespace_id: ids.toRemote(row.namespace_id),
    redirects: redirects
      .map(({ namespace_id, name }) => [ids.toRemote(namespace_id), name] as const)
      .sort((a, b) => (a.join() < b.join() ? -1 : 1)),
    aliases: aliases
      .map(({ path, added_by, added_at }) => [path, added_by, added_at] as const)
      .sort(byFirst),
  };
}

/** What servers were granted is each server's own: they are named by its registry. */
async function grantsBody(db: Db, onId: string, ids: Mapped): Promise<readonly GrantBody[]> {
  const rows = await db
    .selectFrom('access_grant')
    .select(['id', 'on_kind', 'who_kind', 'who_id', 'right', 'granted_by', 'granted_at', 'refs'])
    .select('granted_by_key')
    .where('on_id', '=', onId)
    .where('who_kind', '<>', 'server')
    .execute();
  return rows
    .map((row) => ({ ...row, who_id: ids.toRemote(row.who_id) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function rulesBody(db: Db, onId: string, ids: Mapped): Promise<RulesBody | undefined> {
  const count = await db
    .selectFrom('ref_rule_count')
    .select('given')
    .where('on_id', '=', onId)
    .executeTakeFirst();
  if (count === undefined) return undefined;
  const rows = await db
    .selectFrom('ref_rule')
    .select(['number', 'on_kind', 'pattern', 'deny', 'closed', 'signed', 'max_file_bytes'])
    .where('on_id', '=', onId)
    .execute();
  const allowed = await db
    .selectFrom('ref_rule_allow')
    .select(['number', 'who_kind', 'who_id'])
    .where('on_id', '=', onId)
    .execute();
  return {
    given: count.given,
    rules: rows
      .sort((a, b) => a.number - b.number)
      .map((rule) => ({
        ...rule,
        allow: allowed
          .filter(({ number }) => number === rule.number)
          .map(({ who_kind, who_id }) => [who_kind, ids.toRemote(who_id)] as const)
          .sort((a, b) => (a.join() < b.join() ? -1 : 1)),
      })),
  };
}

async function purgeBody(db: Db, repoId: string, oid: string) {
  return db
    .selectFrom('purge')
    .select(['principal', 'at'])
    .where('repo_id', '=', repoId)
    .where('oid', '=', oid)
    .executeTakeFirst();
}

async function auditBody(db: Db) {
  return db
    .selectFrom('audit_signed_head')
    .select(['seq', 'hash', 'at', 'signature'])
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
}
