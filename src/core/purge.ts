import { UserError } from '../model/errors.ts';
import { shortOid } from '../model/oid.ts';
import { shortRef } from '../model/ref.ts';
import { quoted } from '../model/repo.ts';
import { dropRefs, keptPacks, pruneNow } from '../programs/purge.ts';
import {
  commitsWith,
  type FoundObject,
  objectsLike,
  peeled,
  refsReaching,
} from '../programs/reach.ts';
import { allRefs } from '../programs/refs.ts';
import { archivePrefix, archiveTips } from '../programs/tips.ts';
import type { Actor } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { Carriage } from './carriage.ts';
import type { SettleParts } from './settle.ts';
import type { TrashCan } from './trash.ts';

export interface PurgeParts extends SettleParts, Pick<Carriage, 'kept' | 'syncSessions'> {
  readonly trash: TrashCan;
}

/** What a purge removes, or would. */
export interface Purged {
  readonly oid: string;
  /** False when it was gone before. */
  readonly changed: boolean;
  /** Values that refs once had, and that go with it. */
  readonly values: readonly string[];
  /** How many commits have it, and go. */
  readonly commits: number;
}

interface Plan {
  readonly object: FoundObject;
  readonly dropped: readonly { readonly name: string; readonly oid: string }[];
  readonly gone: readonly string[];
  readonly before: readonly string[];
  readonly commits: number;
}

/**
 * Removes an object from a repository for good, and all commits whose history or files have it; what came before them
 * stays in the archive. For one who has the repository alone. What a crash cuts off is carried on by the next start.
 *
 * @param start - the object's id, or how it begins
 * @throws UserError `not_found` without such an object, `conflict` while a ref leads to it or the trash has it,
 *   `corrupt` when the repository is not whole: then nothing was changed
 */
export async function purge(
  parts: PurgeParts,
  repo: Repository,
  { start, by }: { start: string; by: Actor },
): Promise<Purged> {
  const { store, repos, git } = parts;
  const directory = repos.directory(repo);
  const [object, ...others] = await objectsLike(git, directory, start);
  if (object === undefined) return gone(parts, repo, start);
  if (others.length > 0) {
    throw new UserError('usage', `${others.length + 1} objects begin with ${start}`, {
      hint: 'give more of its id',
    });
  }
  await refuseKept(directory);
  await refuseTrashed(parts, repo, object.oid);
  const plan = await planned(parts, repo, object);
  const purged = {
    oid: object.oid,
    values: plan.dropped.map(({ oid }) => oid),
    commits: plan.commits,
  };
  await store.purges.begin({ repoId: repo.id, oid: object.oid }, plan.gone, by);
  if (!by.dryRun) await carryOut(parts, repo, plan);
  return { changed: true, ...purged };
}

async function gone({ store }: PurgeParts, repo: Repository, oid: string): Promise<Purged> {
  const isDone = await store.purges.isDone({ repoId: repo.id, oid });
  if (isDone) return { oid, changed: false, values: [], commits: 0 };
  throw new UserError('not_found', `${repo.fullName}: there is no object ${oid}`, {
    hint: `see the values of its refs with: repo history ${repo.fullName}`,
  });
}

/** What nothing in a pack can be taken out of. */
async function refuseKept(directory: string): Promise<void> {
  const [kept] = await keptPacks(directory);
  if (kept === undefined) return;
  throw new UserError('conflict', `a pack is marked to be kept as it is: ${quoted(kept)}`, {
    hint: 'the operator removes that file, then repeat',
  });
}

async function refuseTrashed(
  { store, trash, git }: PurgeParts,
  repo: Repository,
  oid: string,
): Promise<void> {
  for (const deleted of await store.trash.named(repo.namespaceId, repo.name)) {
    const found = await objectsLike(git, trash.directory(deleted), oid).catch(() => []);
    if (found.length === 0) continue;
    throw new UserError('conflict', `a deleted ${repo.fullName} has ${shortOid(oid)} too`, {
      hint: `empty it first: repo trash empty ${repo.fullName} --yes`,
    });
  }
}

async function planned(
  { repos, git }: PurgeParts,
  repo: Repository,
  object: FoundObject,
): Promise<Plan> {
  const directory = repos.directory(repo);
  try {
    const reaching = await refsReaching(git, directory, object);
    const dropped = reaching.filter(({ name }) => name.startsWith(archivePrefix));
    const live = reaching.filter((ref) => !dropped.includes(ref));
    if (live.length > 0) throw stillLive(repo, object, live);
    const names = new Set(dropped.map(({ name }) => name));
    const refs = (await allRefs(directory)).filter(({ name }) => !names.has(name));
    const tips = await commitsOf(git, directory, dropped);
    const kept = await commitsOf(git, directory, refs);
    const found = await commitsWith(git, directory, { object, tips, kept });
    // Behind a tag that goes its commit stays.
    const before = object.type === 'tag' ? tips : [...found.before];
    const values = dropped.map(({ oid }) => oid);
    return { object, dropped, before, gone: [...found.with, ...values], commits: found.with.size };
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new UserError('corrupt', `${repo.fullName}: it is not whole; nothing was changed`, {
      hint: `look at it with: repo verify ${repo.fullName}`,
      cause,
    });
  }
}

function stillLive(
  repo: Repository,
  { oid }: FoundObject,
  live: readonly { readonly name: string }[],
): UserError {
  const some = live.slice(0, 5).map(({ name }) => shortRef(name));
  const more = live.length > some.length ? ` and ${live.length - some.length} more` : '';
  const what = `${repo.fullName}: ${some.join(', ')}${more} still has ${shortOid(oid)}`;
  return new UserError('conflict', what, {
    hint: 'rewrite or delete it first: git push --force, git push --delete',
  });
}

async function commitsOf(
  git: PurgeParts['git'],
  directory: string,
  refs: readonly { readonly oid: string }[],
): Promise<string[]> {
  const commits: string[] = [];
  for (const oid of new Set(refs.map((ref) => ref.oid))) {
    const commit = await peeled(git, directory, oid);
    if (commit !== undefined) commits.push(commit);
  }
  return commits;
}

/** What stays is in the archive before anything goes. */
async function carryOut(
  parts: PurgeParts,
  repo: Repository,
  { object, dropped, before }: Plan,
): Promise<void> {
  const { store, repos, git } = parts;
  const directory = repos.directory(repo);
  await archiveTips(git, directory, before);
  const names = dropped.map(({ name }) => name);
  await dropRefs(
    git,
    directory,
    names.filter((name) => !before.includes(name.slice(archivePrefix.length))),
  );
  await pruneNow(git, directory);
  await dropCopies(parts, repo.id);
  if ((await objectsLike(git, directory, object.oid)).length > 0) {
    throw new UserError('corrupt', `${repo.fullName}: ${shortOid(object.oid)} is still there`, {
      hint: 'the log has the details; the next start tries again',
    });
  }
  await store.purges.finish({ repoId: repo.id, oid: object.oid });
}

/** What was made of a repository for others to fetch, and what others brought, may have it too. */
async function dropCopies({ kept, syncSessions }: PurgeParts, repoId: string): Promise<void> {
  await kept.drop(repoId);
  await syncSessions.drop(repoId);
}

/** Carries on the purges that were cut off, before anybody reads. */
export async function settlePurges(
  parts: PurgeParts,
  failed: (repoId: string, error: unknown) => void,
): Promise<void> {
  for (const { repoId, oid } of await parts.store.purges.unfinished()) {
    try {
      const repo = await parts.store.repositories.byId(repoId);
      if (repo === undefined) continue;
      const [object] = await objectsLike(parts.git, parts.repos.directory(repo), oid);
      if (object !== undefined) {
        await carryOut(parts, repo, await planned(parts, repo, object));
        continue;
      }
      // It is gone, and perhaps not all that went with it.
      await pruneNow(parts.git, parts.repos.directory(repo));
      await dropCopies(parts, repoId);
      await parts.store.purges.finish({ repoId, oid });
    } catch (error) {
      failed(repoId, error);
    }
  }
}
