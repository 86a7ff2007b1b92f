import { nullOid } from '../../model/ref.ts';
import { readRefsOf } from '../../programs/refs.ts';
import { updateRefs } from '../../programs/tips.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { conflictRef } from './conflicts.ts';

const mostAtOnce = 1000;

/** Before when a conflict must have ended for its values to be let go; undefined where they are kept for ever. */
function keptSince({ config }: Pick<Core, 'config'>): string | undefined {
  const keepMs = config.values['archive.keep'];
  if (keepMs === Number.POSITIVE_INFINITY) return undefined;
  return new Date(Date.now() - keepMs).toISOString();
}

/** Full names of repositories with conflicts that ended `archive.keep` ago and more. */
export async function withOldConflicts(
  core: Pick<Core, 'config' | 'store'>,
): Promise<readonly string[]> {
  const before = keptSince(core);
  if (before === undefined) return [];
  const ids = await core.store.conflicts.withKeptBefore(before, mostAtOnce);
  const repos = await Promise.all(ids.map((id) => core.store.repositories.byId(id)));
  return repos.flatMap((repo) => repo?.fullName ?? []);
}

/** Lets the values of conflicts go that ended `archive.keep` ago and more. */
export async function dropOldConflicts(
  core: Pick<Core, 'config' | 'store' | 'repos' | 'git'>,
  repo: Repository,
): Promise<void> {
  const { store, repos, git } = core;
  const before = keptSince(core);
  if (before === undefined) return;
  const directory = repos.directory(repo);
  for (const conflict of await store.conflicts.keptBefore(repo.id, before)) {
    const refs = ['ours', 'theirs', 'base'].map((side) => conflictRef(conflict, side));
    const there = await readRefsOf(directory, refs);
    const gone = [...there].flatMap(([ref, { oid }]) =>
      oid === undefined ? [] : [{ ref, old: oid, new: nullOid }],
    );
    await updateRefs(git, directory, gone);
    await store.conflicts.dropped(conflict);
  }
}
