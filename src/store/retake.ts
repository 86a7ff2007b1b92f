import type { Kysely } from 'kysely';
import { UserError } from '../model/errors.ts';
import type { Write } from './changes.ts';
import type { Tables } from './tables.ts';

/** Something that may lead to a repository. */
export interface Path {
  /** The id of the namespace that it lies in, empty for none. */
  readonly namespaceId: string;
  readonly name: string;
  /** The whole of it, as an alias would have it. */
  readonly text: string;
}

/**
 * Ends what a path led to, for a repository or alias that is to have it (S6).
 *
 * @param allowed - the ids of the repositories that it may cease to lead to
 * @throws UserError `conflict` when it leads to another one
 */
export async function retake(
  { trx }: Write,
  path: Path,
  allowed: readonly string[] = [],
): Promise<void> {
  const leads = await trx
    .selectFrom('repository')
    .select('id')
    .where('id', 'in', leadingTo(trx, path))
    .where('deleted_at', 'is', null)
    .execute();
  if (leads.some(({ id }) => !allowed.includes(id))) throw notFree(path.text);
  await trx
    .deleteFrom('redirect')
    .where('namespace_id', '=', path.namespaceId)
    .where('name', '=', path.name)
    .execute();
  await trx.deleteFrom('alias').where('path', '=', path.text).execute();
}

function leadingTo(trx: Kysely<Tables>, { namespaceId, name, text }: Path) {
  return trx
    .selectFrom('redirect')
    .select('repo_id as id')
    .where('namespace_id', '=', namespaceId)
    .where('name', '=', name)
    .unionAll(trx.selectFrom('alias').select('repo_id as id').where('path', '=', text));
}

/** The answer to who may not take a name away from the repository that it leads to. */
export function notFree(path: string): UserError {
  return new UserError('conflict', `${path}: the name is not free, it leads to a repository`, {
    hint: 'choose another name, or ask an admin of that repository',
  });
}

/** What led to a repository leads nowhere after its end. */
export async function forgetPaths({ trx }: Write, repoId: string): Promise<void> {
  await trx.deleteFrom('redirect').where('repo_id', '=', repoId).execute();
  await trx.deleteFrom('alias').where('repo_id', '=', repoId).execute();
}
