import { nullOid } from '../model/ref.ts';
import type { Git } from '../programs/git.ts';
import { allRefs, readRefsOf } from '../programs/refs.ts';
import { archivePrefix, notReachable, typesOf, updateRefs } from '../programs/tips.ts';
import type { Actor } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Repos } from './repos.ts';

interface ExpiryParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
}

interface Expiry {
  /** Tips that were archived earlier are over; ISO 8601. */
  readonly before: string;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/** So many tips are let go while nobody else may use the repository. */
const mostTips = 1000;

/** So long their end waits for a moment in which nobody uses the repository. */
const freeMs = 1000;

/**
 * Lets archived tips go whose time is over. One that a ref leads to goes as well: should that ref be moved away later, its
 * value is archived then, and leads there too. Only while nobody else uses the repository: a push might archive one of
 * them in between.
 *
 * @returns how many; those that somebody's use of the repository left are not among them
 */
export async function expireTips(
  parts: ExpiryParts,
  repo: Repository,
  { before, by, signal }: Expiry,
): Promise<number> {
  const { store, repos } = parts;
  const limit = by.dryRun ? Number.MAX_SAFE_INTEGER : mostTips;
  let count = 0;
  for (;;) {
    const oids = await store.upkeep.tipsBefore(repo.id, before, limit);
    if (oids.length === 0) return count;
    const release = await whenFree(repos, repo, { signal, waitMs: freeMs });
    if (release === undefined) return count;
    try {
      count += await letGo(parts, repo, { oids, before, by });
    } finally {
      release();
    }
    if (by.dryRun) return count;
  }
}

/** For one who has the repository alone. @returns how many went, or in a dry run would */
async function letGo(
  { store, repos, git }: ExpiryParts,
  repo: Repository,
  { oids, before, by }: { oids: readonly string[]; before: string; by: Actor },
): Promise<number> {
  const directory = repos.directory(repo);
  // What has yet to come from a main would be archived by its coming, and then have no time.
  const types = await typesOf(git, directory, oids);
  const over = oids.filter((oid) => types.has(oid));
  if (by.dryRun) return over.length;
  const there = await readRefsOf(
    directory,
    over.map((oid) => `${archivePrefix}${oid}`),
  );
  const commands = [...there].flatMap(([ref, { oid }]) =>
    oid === undefined ? [] : [{ ref, old: oid, new: nullOid }],
  );
  await updateRefs(git, directory, commands);
  const news = (await allRefs(directory)).map(({ oid }) => oid);
  const lost = await notReachable(git, directory, { olds: over, news });
  const awaited = oids.filter((oid) => !types.has(oid));
  await store.upkeep.expire(repo, { over, awaited, prune: lost.length > 0 }, { before, by });
  return over.length;
}

/** @returns the function that lets go of it; undefined when somebody uses the repository all the time */
export async function whenFree(
  repos: Repos,
  repo: Repository,
  { signal, waitMs }: { signal: AbortSignal; waitMs: number },
): Promise<(() => void) | undefined> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), waitMs);
  try {
    return await repos.holdAlone(repo, AbortSignal.any([signal, patience.signal]));
  } catch (error) {
    if (patience.signal.aborted && !signal.aborted) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
