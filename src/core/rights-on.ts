import type { Principal } from '../model/principal.ts';
import {
  type Decision,
  decide,
  type RepoStanding,
  type Right,
  reaches,
  type Standing,
} from '../model/right.ts';
import type { Holdings } from '../store/holdings.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { AccessControl } from './access.ts';

/** What of a repository bears on rights to it. */
export type Bearing = Pick<Repository, 'id' | 'namespaceId' | 'visibility' | 'archived'>;

/** What bears on a principal's right to a repository, put together from what the store has of both. */
export function standingOn(principal: Principal, repo: Bearing, held: Holdings): RepoStanding {
  const ownNamespace = principal.kind === 'user' && repo.namespaceId === principal.id;
  return { visibility: repo.visibility, archived: repo.archived, ownNamespace, ...held };
}

/**
 * The rights that a principal in good standing has on repositories: of a whole page of a list with two queries, not with
 * two for each row.
 *
 * @returns one decision for each repository, in their order
 */
export async function rightsOn(
  { store, access }: { store: Store; access: AccessControl },
  { principal, standing }: { principal: Principal; standing: Standing },
  repos: readonly Repository[],
): Promise<readonly Decision[]> {
  if (principal.kind !== 'user') {
    return Promise.all(repos.map((repo) => access.rightOn(principal, standing, repo)));
  }
  const held = await store.access.holdingsOn(principal.id, repos);
  return repos.map((repo, index) => {
    const on = standingOn(principal, repo, held[index] as Holdings);
    return decide(standing, { kind: 'repo', right: 'read', on });
  });
}

/**
 * What a change of a grant is measured by: what its holder has by whatever, where something is taken from them; what the
 * grant gave, where it only gives more (S10, and an owner's grant is no admin's to take).
 *
 * @param has - reads what the holder has
 */
export async function changedRight(
  { from, to }: { from: Right; to: Right },
  has: () => Promise<Right>,
): Promise<Right> {
  if (to !== 'none' && reaches(to, from)) return from;
  const right = await has();
  return reaches(right, from) ? right : from;
}
