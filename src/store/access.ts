import { UserError } from '../model/errors.ts';
import type { Grantable, Right } from '../model/right.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import {
  byTarget,
  grantsOn,
  grantsOnOne,
  type Holdings,
  holdingsOf,
  orgOf,
  orgsOf,
  type RepoRef,
  together,
} from './holdings.ts';
import type { Database } from './sqlite.ts';

/** Who may be granted a right. */
export interface Grantee {
  readonly kind: 'user' | 'org' | 'team' | 'server' | 'key';
  readonly id: string;
  /** As the command line writes it: `ana`, `org:acme`, `team:acme/devs`, `server:b`, `key:SHA256:…`. */
  readonly text: string;
}

export interface GrantRow {
  readonly who: string;
  readonly right: Grantable;
  readonly on: 'repo' | 'org';
}

/** Grants and roles. Every look-up starts from the asker's own ids, so that its cost grows with neither users nor grants. */
export class Access {
  readonly #db: Database;
  readonly #org: ReturnType<typeof orgOf>;
  readonly #granted: ReturnType<typeof grantsOnOne>;

  constructor(db: Database) {
    this.#db = db;
    this.#org = orgOf(db);
    this.#granted = grantsOnOne(db);
  }

  async holdings(userId: string, repo: RepoRef): Promise<Holdings> {
    const { id, namespaceId } = repo;
    const [org] = await this.#org(userId, namespaceId);
    const held = byTarget(await this.#granted(userId, id, namespaceId));
    return together(repo, org, held);
  }

  /** What a user holds on each of some repositories, in their order: two queries, however many they are. */
  async holdingsOn(userId: string, repos: readonly RepoRef[]): Promise<readonly Holdings[]> {
    const namespaces = [...new Set(repos.map(({ namespaceId }) => namespaceId))];
    const rows = await orgsOf(this.#db, userId, namespaces).execute();
    const orgs = new Map(rows.map((row) => [row.id, row]));
    const targets = [...repos.map(({ id }) => id), ...namespaces];
    const held = byTarget(await grantsOn(this.#db, userId, targets).execute());
    return repos.map((repo) => together(repo, orgs.get(repo.namespaceId), held));
  }

  /** What each of some users holds on one repository, in their order: four queries, however many they are. */
  async holdingsOf(userIds: readonly string[], repo: RepoRef): Promise<readonly Holdings[]> {
    return holdingsOf(this.#db, userIds, repo);
  }

  /** Users who could give a right to the repository, or do for it what takes an owner, for a hint: three names at the most. */
  async adminsOf(repo: RepoRef, rank: 'admin' | 'owner'): Promise<readonly string[]> {
    const owner = this.#db
      .selectFrom('user')
      .select('name')
      .where('id', '=', repo.namespaceId)
      .where('state', '=', 'active');
    const byRole = this.#db
      .selectFrom('org_member')
      .innerJoin('user', 'user.id', 'org_member.user_id')
      .select('user.name')
      .where('org_member.org_id', '=', repo.namespaceId)
      .where('org_member.role', 'in', rank === 'owner' ? ['owner'] : ['admin', 'owner'])
      .where('user.state', '=', 'active')
      .orderBy('user.name')
      .limit(3);
    const names = [...(await owner.execute()), ...(await byRole.execute())].map(({ name }) => name);
    return names.slice(0, 3);
  }

  /** The right that a grant gives now; `none` without one. */
  async granted(onId: string, whoId: string): Promise<Right> {
    const row = await this.#db
      .selectFrom('access_grant')
      .select('right')
      .where('on_id', '=', onId)
      .where('who_id', '=', whoId)
      .executeTakeFirst();
    return row?.right ?? 'none';
  }

  /**
   * Gives a right in place of the one that a grant gave so far.
   *
   * @param change - `from`: the right the decision was made on; anything else by now is a `conflict`
   * @returns whether anything changed
   */
  async grant(
    on: { kind: 'repo' | 'org'; id: string; name: string },
    who: Grantee,
    { from, to }: { from: Right; to: Grantable },
    by: Actor,
  ): Promise<boolean> {
    if (from === to) return false;
    return write(this.#db, by, async (w) => {
      await takeGrant(w, on, who, from);
      const grant = { on_kind: on.kind, on_id: on.id, who_kind: who.kind, who_id: who.id };
      await w.trx
        .insertInto('access_grant')
        .values({
          id: newId(),
          ...grant,
          right: to,
          granted_by: by.principal,
          granted_at: w.now,
          granted_by_key: by.keyId ?? null,
        })
        .execute();
      await w.log({ type: 'access-granted', ...subject(on), detail: { who: who.text, right: to } });
      return true;
    });
  }

  /**
   * @param from - the right the decision was made on; anything else by now is a `conflict`
   * @returns whether anything changed
   */
  async revoke(
    on: { kind: 'repo' | 'org'; id: string; name: string },
    who: Grantee,
    from: Right,
    by: Actor,
  ): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      if ((await takeGrant(w, on, who, from)) === 'none') return false;
      await w.log({ type: 'access-revoked', ...subject(on), detail: { who: who.text } });
      return true;
    });
  }

  /** Grants on the repository and on its org, in the order of names. */
  async list(repo: RepoRef): Promise<readonly GrantRow[]> {
    return this.listOn([repo.id, repo.namespaceId]);
  }

  /** Grants on repositories and orgs by their ids, in the order of names. */
  async listOn(ids: readonly string[]): Promise<readonly GrantRow[]> {
    const rows = await this.#db
      .selectFrom('access_grant')
      .leftJoin('user', 'user.id', 'access_grant.who_id')
      .leftJoin('org', 'org.id', 'access_grant.who_id')
      .leftJoin('team', 'team.id', 'access_grant.who_id')
      .leftJoin('org as parent', 'parent.id', 'team.org_id')
      .leftJoin('ssh_key', 'ssh_key.id', 'access_grant.who_id')
      .leftJoin('server', 'server.id', 'access_grant.who_id')
      .select(['access_grant.right', 'on_kind', 'user.name as user', 'org.name as org'])
      .select(['team.name as team', 'parent.name as parent', 'ssh_key.fingerprint as key'])
      .select('server.name as server')
      .where('on_id', 'in', ids)
      .where('ssh_key.revoked_at', 'is', null)
      // What is pending has nothing yet.
      .where((eb) => eb('who_kind', '<>', 'key').or('ssh_key.verified', '=', 1))
      .execute();
    return rows
      .map((row) => ({ who: granteeText(row), right: row.right, on: row.on_kind }))
      .sort((a, b) => (a.who < b.who ? -1 : 1));
  }
}

function granteeText(row: {
  user: string | null;
  org: string | null;
  team: string | null;
  parent: string | null;
  key: string | null;
  server: string | null;
}): string {
  if (row.key !== null) return `key:${row.key}`;
  if (row.server !== null) return `server:${row.server}`;
  return row.user ?? (row.org ? `org:${row.org}` : `team:${row.parent}/${row.team}`);
}

/** Takes a grant away, unless it changed since `expected` was read. @returns what it gave, `none` without one */
async function takeGrant(
  { trx }: Write,
  on: { id: string; name: string },
  who: Grantee,
  expected: Right,
): Promise<Right> {
  const held = await trx
    .selectFrom('access_grant')
    .select(['id', 'right'])
    .where('on_id', '=', on.id)
    .where('who_id', '=', who.id)
    .executeTakeFirst();
  if ((held?.right ?? 'none') !== expected) {
    throw new UserError(
      'conflict',
      `${on.name}: what ${who.text} has been granted changed meanwhile`,
      {
        hint: `look again with: repo access list ${on.name}`,
      },
    );
  }
  if (held === undefined) return 'none';
  await trx.deleteFrom('access_grant').where('id', '=', held.id).execute();
  return held.right;
}

function subject(on: { kind: 'repo' | 'org'; id: string }): {
  repoId?: string;
  subjectId?: string;
} {
  return on.kind === 'repo' ? { repoId: on.id } : { subjectId: on.id };
}
