import { type Kysely, sql } from 'kysely';
import type { Right } from '../model/right.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import { type Key, toKey } from './key-rows.ts';
import { insertKey, type NewKey, refuseOutliving } from './key-writes.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** What a deploy key may do: on one repository, or on all of an org's. */
export interface Binding {
  readonly on: { readonly kind: 'repo' | 'org'; readonly id: string; readonly name: string };
  readonly right: 'read' | 'write';
  /** A pattern of the refs that it may write; undefined for all. */
  readonly refs: string | undefined;
}

/** A binding as it stands. */
export interface Bound extends Binding {
  readonly keyId: string;
  /** The user whose key made it; undefined for the operator's. */
  readonly madeBy: string | undefined;
}

/** Where deploy keys are looked for: one repository with its org, one org with its repositories, or what a user made. */
export type Scope =
  | { readonly repo: { readonly id: string; readonly namespaceId: string } }
  | { readonly orgId: string }
  | { readonly madeBy: string };

/** Deploy keys: bound to repositories and orgs, to no user. The bindings are grants like everybody's. */
export class DeployKeys {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Adds a deploy key with its bindings; one that is there already gets those that it lacks.
   *
   * @throws UserError `conflict` when the blob is a user's or was revoked, `denied` when it would outlive the adding key
   */
  async add(
    key: Omit<NewKey, 'userId'>,
    bindings: readonly Binding[],
    by: Actor,
  ): Promise<{ id: string; changed: boolean }> {
    return write(this.#db, by, async (w) => {
      const added = await insertKey(w, by, { ...key, userId: undefined });
      let changed = added.changed;
      for (const binding of bindings) {
        if (await bind(w, by, added.id, binding)) changed = true;
      }
      return { id: added.id, changed };
    });
  }

  /**
   * Lets a deploy key do more, or other, than it may; where it may write, the pattern of what it writes stays.
   *
   * @returns whether anything changed, and that pattern
   */
  async grant(
    keyId: string,
    { on, right }: Omit<Binding, 'refs'>,
    by: Actor,
  ): Promise<{ changed: boolean; refs: string | undefined }> {
    return write(this.#db, by, async (w) => {
      const held = right === 'write' ? await heldOn(w, keyId, on.id) : undefined;
      const refs = held?.refs ?? undefined;
      return { changed: await bind(w, by, keyId, { on, right, refs }), refs };
    });
  }

  /** What bears on one repository, for a decision. */
  async grantsOn(
    keyId: string,
    repo: { readonly id: string; readonly namespaceId: string },
  ): Promise<readonly { right: Right; via: string; refs: string | undefined }[]> {
    const rows = await this.#db
      .selectFrom('access_grant')
      .select(['right', 'on_kind', 'refs'])
      .where('on_id', 'in', [repo.id, repo.namespaceId])
      .where('who_id', '=', keyId)
      .execute();
    return rows.map(({ right, on_kind, refs }) => ({
      right,
      via: on_kind === 'org' ? 'deploy key of the org' : 'deploy key',
      refs: refs ?? undefined,
    }));
  }

  async bindingsOf(keyId: string): Promise<readonly Bound[]> {
    const rows = await bindings(this.#db).where('access_grant.who_id', '=', keyId).execute();
    return rows.map(toBound).sort(byName);
  }

  /** The deploy keys of a scope with their bindings there; without those that were revoked. */
  async within(scope: Scope): Promise<readonly { key: Key; bound: Bound }[]> {
    const rows = await inScope(bindings(this.#db), scope)
      .selectAll('ssh_key')
      .where('ssh_key.revoked_at', 'is', null)
      .execute();
    return rows
      .map((row) => ({ key: toKey(row), bound: toBound(row) }))
      .sort((a, b) => (a.key.addedAt < b.key.addedAt ? -1 : 1));
  }

  /** A page of all deploy keys, in the order of their ids. */
  async page(after: string, limit: number): Promise<readonly Key[]> {
    const rows = await this.#db
      .selectFrom('ssh_key')
      .selectAll()
      .where('kind', '=', 'deploy')
      .where('id', '>', after)
      .orderBy('id')
      .limit(limit)
      .execute();
    return rows.map(toKey);
  }

  /** How many repositories a deploy key reaches. */
  async reached(keyId: string): Promise<number> {
    const bound = this.#db.selectFrom('access_grant').select('on_id').where('who_id', '=', keyId);
    const row = await this.#db
      .selectFrom('repository')
      .select((eb) => eb.fn.countAll<number>().as('n'))
      .where((eb) =>
        eb.or([
          eb('id', 'in', bound.where('on_kind', '=', 'repo')),
          eb('namespace_id', 'in', bound.where('on_kind', '=', 'org')),
        ]),
      )
      .executeTakeFirstOrThrow();
    return row.n;
  }
}

/** Copies what one deploy key may do to the key that takes its place. */
export async function copyBindings(w: Write, from: string, to: string): Promise<void> {
  const rows = await w.trx
    .selectFrom('access_grant')
    .selectAll()
    .where('who_id', '=', from)
    .execute();
  for (const row of rows) {
    await w.trx
      .insertInto('access_grant')
      .values({ ...row, id: newId(), who_id: to })
      .onConflict((on) => on.columns(['on_id', 'who_id']).doNothing())
      .execute();
  }
}

async function bind(
  w: Write,
  by: Actor,
  keyId: string,
  { on, right, refs }: Binding,
): Promise<boolean> {
  const held = await heldOn(w, keyId, on.id);
  if (held?.right === right && held.refs === (refs ?? null)) return false;
  const key = await w.trx
    .selectFrom('ssh_key')
    .select(['fingerprint', 'expires_at'])
    .where('id', '=', keyId)
    .executeTakeFirstOrThrow();
  await refuseOutliving(w, by, key.expires_at);
  if (held !== undefined) {
    await w.trx.deleteFrom('access_grant').where('id', '=', held.id).execute();
  }
  await w.trx
    .insertInto('access_grant')
    .values({
      id: newId(),
      on_kind: on.kind,
      on_id: on.id,
      who_kind: 'key',
      who_id: keyId,
      right,
      refs: refs ?? null,
      granted_by: by.principal,
      granted_by_key: by.keyId ?? null,
      granted_at: w.now,
    })
    .execute();
  const subject = on.kind === 'repo' ? { repoId: on.id } : { subjectId: on.id };
  const detail = { who: `key:${key.fingerprint}`, right, refs: refs ?? null };
  await w.log({ type: 'access-granted', ...subject, detail });
  return true;
}

function heldOn({ trx }: Write, keyId: string, onId: string) {
  return trx
    .selectFrom('access_grant')
    .select(['id', 'right', 'refs'])
    .where('on_id', '=', onId)
    .where('who_id', '=', keyId)
    .executeTakeFirst();
}

/** Bindings with the names of what they are on, and whose key made them. */
function bindings(db: Kysely<Tables>) {
  return db
    .selectFrom('access_grant')
    .innerJoin('ssh_key', 'ssh_key.id', 'access_grant.who_id')
    .leftJoin('ssh_key as maker', 'maker.id', 'access_grant.granted_by_key')
    .leftJoin('repository', 'repository.id', 'access_grant.on_id')
    .leftJoin('namespace', (join) =>
      join
        .on((eb) =>
          eb(
            'namespace.owner_id',
            '=',
            eb.fn.coalesce('repository.namespace_id', 'access_grant.on_id'),
          ),
        )
        .on('namespace.current', '=', sql.lit(1)),
    )
    .select(['access_grant.who_id', 'access_grant.on_kind', 'access_grant.on_id'])
    .select(['access_grant.right', 'access_grant.refs', 'maker.user_id as made_by'])
    .select(['repository.name as repo', 'namespace.name as namespace'])
    .where('access_grant.who_kind', '=', 'key');
}

function inScope(query: ReturnType<typeof bindings>, scope: Scope): ReturnType<typeof bindings> {
  if ('repo' in scope) {
    return query.where('access_grant.on_id', 'in', [scope.repo.id, scope.repo.namespaceId]);
  }
  if ('madeBy' in scope) return query.where('maker.user_id', '=', scope.madeBy);
  // By what it is on, so that the index on it is used.
  return query.where((eb) =>
    eb(
      'access_grant.on_id',
      'in',
      eb
        .selectFrom('repository as of_org')
        .select('of_org.id')
        .where('of_org.namespace_id', '=', scope.orgId)
        .unionAll(eb.selectFrom('org').select('org.id').where('org.id', '=', scope.orgId)),
    ),
  );
}

function toBound(row: {
  who_id: string;
  on_kind: 'repo' | 'org';
  on_id: string;
  right: Right;
  refs: string | null;
  made_by: string | null;
  repo: string | null;
  namespace: string | null;
}): Bound {
  const name = row.on_kind === 'org' ? `org:${row.namespace}` : `${row.namespace}/${row.repo}`;
  return {
    on: { kind: row.on_kind, id: row.on_id, name },
    // A key is never granted more: see `bind`.
    right: row.right === 'write' ? 'write' : 'read',
    refs: row.refs ?? undefined,
    keyId: row.who_id,
    madeBy: row.made_by ?? undefined,
  };
}

function byName(a: Bound, b: Bound): number {
  return a.on.name < b.on.name ? -1 : 1;
}
