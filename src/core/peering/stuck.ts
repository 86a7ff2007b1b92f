import type { ConflictKind } from '../../model/sync-plan.ts';
import type { RefList } from '../../model/sync-refs.ts';
import { typesOf } from '../../programs/tips.ts';
import type { Base } from '../../store/syncs.ts';
import type { Core } from '../core.ts';
import type { Admission } from './admit.ts';
import { keepConflicts } from './conflicts.ts';

/**
 * Of two servers that took all of each other's lists each may still have something of its own, which it is to send. What
 * both have seen, and have otherwise all the same, nobody would ever move: it is for a person to decide on.
 *
 * @param refs - what was sent before, and is here still
 * @param theirs - what they have
 * @returns how many conflicts it opened
 */
export async function keepStuck(
  core: Core,
  about: Pick<Admission, 'server' | 'repo' | 'by'>,
  { refs, theirs, base }: { refs: RefList; theirs: RefList; base: Base | undefined },
): Promise<number> {
  const { store, git, repos } = core;
  const { server, repo } = about;
  if (server.role !== 'dev' && server.role !== 'neighbor') return 0;
  const open = (await store.conflicts.open(repo.id)).filter((one) => one.serverId === server.id);
  const listed = new Set(open.map(({ ref }) => ref));
  const seen = [...theirs].filter(
    ([ref, value]) => base?.refs.get(ref) === value && refs.get(ref) !== value && !listed.has(ref),
  );
  if (seen.length === 0) return 0;
  const absent = seen.map(([ref]) => ref).filter((ref) => !refs.has(ref));
  // What is absent without a deletion was lost, and is nobody's wish.
  const deleted = await store.births.deletions(repo.id, absent);
  const wanted = seen.filter(([ref]) => refs.has(ref) || deleted.has(ref));
  const values = wanted.map(([, value]) => value);
  const there = await typesOf(git, repos.directory(repo), values);
  const conflicting = wanted
    .filter(([, value]) => there.has(value))
    .map(([ref]) => ({ ref, kind: kindOf(ref, refs) }));
  await keepConflicts(core, about, { conflicting, mine: refs, theirs });
  return conflicting.length;
}

function kindOf(ref: string, refs: RefList): ConflictKind {
  if (!refs.has(ref)) return 'delete_modify';
  return ref.startsWith('refs/tags/') ? 'tag_moved' : 'diverged';
}
