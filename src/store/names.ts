import { sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import type { Write } from './changes.ts';
import type { Database } from './sqlite.ts';

export interface Namespace {
  readonly name: string;
  readonly kind: 'user' | 'org';
  /** The id of the user or org. */
  readonly ownerId: string;
}

/** Takes a name for a user or org. Names once used stay taken (S6). @throws UserError `conflict` */
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
  if (held !== undefined) {
    throw new UserError(
      'conflict',
      `the name ${name} belonged to a ${held.kind} before and stays reserved`,
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
  return true;
}

/** Look-ups of the one set of names that users and orgs share. */
export class Names {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
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
