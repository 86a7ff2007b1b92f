import { sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import type { Write } from './changes.ts';
import { compiled } from './compiled.ts';
import type { Database } from './sqlite.ts';

export interface Namespace {
  readonly name: string;
  readonly kind: 'user' | 'org';
  /** The id of the user or org. */
  readonly ownerId: string;
}

/** A name as it was given once. */
export interface GivenName {
  readonly kind: 'user' | 'org';
  /** The id of the user or org. */
  readonly ownerId: string;
  /** What its owner is called now; undefined after the owner's end. */
  readonly now: string | undefined;
}

/** Takes a name for a user or org. Names once used stay taken (S6), but for their owner. @throws UserError `conflict` */
export async function takeName(
  { trx }: Write,
  name: string,
  kind: 'user' | 'org',
  ownerId: string,
): Promise<void> {
  const held = await trx
    .selectFrom('namespace')
    .selectAll()
    .where('name', '=', name)
    .executeTakeFirst();
  if (held?.current === 1) {
    throw new UserError('conflict', `${held.kind} ${name} exists already`, {
      hint: `see it with: ${held.kind} show ${name}`,
    });
  }
  if (held?.owner_id === ownerId) {
    await trx.updateTable('namespace').set({ current: 1 }).where('name', '=', name).execute();
    return;
  }
  if (held !== undefined) {
    throw new UserError(
      'conflict',
      `the name ${name} belonged to ${held.kind === 'org' ? 'an org' : 'a user'} before and stays reserved`,
      {
        hint: 'choose another name',
      },
    );
  }
  await trx.insertInto('namespace').values({ name, kind, owner_id: ownerId, current: 1 }).execute();
}

/** Keeps the name reserved after its owner is gone. */
export async function retireName({ trx }: Write, ownerId: string): Promise<void> {
  await trx
    .updateTable('namespace')
    .set({ current: 0 })
    .where('owner_id', '=', ownerId)
    .where('current', '=', sql.lit(1))
    .execute();
}

/** Frees a name that its owner gave up. @returns whether it was reserved. @throws UserError `conflict` when it is in use */
export async function releaseName({ trx }: Write, name: string): Promise<boolean> {
  const held = await trx
    .selectFrom('namespace')
    .selectAll()
    .where('name', '=', name)
    .executeTakeFirst();
  if (held?.current === 1) {
    throw new UserError(
      'conflict',
      `${name} is in use by a ${held.kind}: only a reserved name can be released`,
    );
  }
  if (held === undefined) return false;
  await trx.deleteFrom('namespace').where('name', '=', name).execute();
  // Nothing of the former owner's is to stand in the way of the next one.
  await trx
    .deleteFrom('alias')
    .where('path', '>', `${name}/`)
    .where('path', '<', `${name}0`)
    .execute();
  return true;
}

const givenName = (db: Database) =>
  compiled(db, (name: string) =>
    db
      .selectFrom('namespace as given')
      .leftJoin('namespace as now', (join) =>
        join.onRef('now.owner_id', '=', 'given.owner_id').on('now.current', '=', sql.lit(1)),
      )
      .select(['given.kind', 'given.owner_id', 'now.name'])
      .where('given.name', '=', name),
  );

/** Look-ups of the one set of names that users and orgs share. */
export class Names {
  readonly #db: Database;
  readonly #given: ReturnType<typeof givenName>;

  constructor(db: Database) {
    this.#db = db;
    this.#given = givenName(db);
  }

  async find(name: string): Promise<Namespace | undefined> {
    const row = await this.#db
      .selectFrom('namespace')
      .selectAll()
      .where('name', '=', name)
      .where('current', '=', 1)
      .executeTakeFirst();
    return row && { name: row.name, kind: row.kind, ownerId: row.owner_id };
  }

  /** What a name means that somebody has or had; undefined for one that nobody ever had, or that was released. */
  async given(name: string): Promise<GivenName | undefined> {
    const [row] = await this.#given(name);
    return row && { kind: row.kind, ownerId: row.owner_id, now: row.name ?? undefined };
  }

  /** What a user or org is called now. */
  async ofOwner(ownerId: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('namespace')
      .select('name')
      .where('owner_id', '=', ownerId)
      .where('current', '=', sql.lit(1))
      .executeTakeFirst();
    return row?.name;
  }

  /** All names that the present or former owner of a name has had; that one alone where it never had any. */
  async allOfOwner(name: string): Promise<readonly string[]> {
    const rows = await this.#db
      .selectFrom('namespace as given')
      .innerJoin('namespace', 'namespace.owner_id', 'given.owner_id')
      .select('namespace.name')
      .where('given.name', '=', name)
      .execute();
    return rows.length === 0 ? [name] : rows.map((row) => row.name);
  }

  /** Names of users or orgs that begin with some letters, in their order. */
  async beginning(
    letters: string,
    kind: Namespace['kind'],
    limit: number,
  ): Promise<readonly string[]> {
    const rows = await this.#db
      .selectFrom('namespace')
      .select('name')
      .where('name', '>=', letters)
      // No name has a letter behind "z".
      .where('name', '<', `${letters}~`)
      .where('kind', '=', kind)
      .where('current', '=', 1)
      .orderBy('name')
      .limit(limit)
      .execute();
    return rows.map(({ name }) => name);
  }
}
