import type { Kysely } from 'kysely';
import { UserError } from '../model/errors.ts';
import type { Write } from './changes.ts';
import type { Namespace } from './names.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** @throws UserError `unavailable` when the namespace has as many repositories as it may have */
export async function refuseOver(
  { trx }: Write,
  namespace: Namespace,
  limit: number | undefined,
): Promise<void> {
  if (limit === undefined) return;
  if ((await countIn(trx, namespace.ownerId)) < limit) return;
  throw new UserError(
    'unavailable',
    `${namespace.name} has ${limit} repositories, which is the limit (limits.repos_per_user)`,
    { hint: 'delete one that nobody needs, or create it in an organization' },
  );
}

async function countIn(db: Kysely<Tables>, namespaceId: string): Promise<number> {
  const row = await db
    .selectFrom('repository')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('namespace_id', '=', namespaceId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  return row?.count ?? 0;
}

/** What namespaces use of what they may. */
export class Usage {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** How many repositories a namespace has. */
  async repositoriesIn(namespaceId: string): Promise<number> {
    return countIn(this.#db, namespaceId);
  }

  /** What all repositories of a namespace take on disk, those in the trash too, as it was measured last. */
  async bytesIn(namespaceId: string): Promise<number> {
    const row = await this.#db
      .selectFrom('repository')
      .select((eb) => eb.fn.sum<number | null>('size_bytes').as('bytes'))
      .where('namespace_id', '=', namespaceId)
      .executeTakeFirst();
    return row?.bytes ?? 0;
  }
}
