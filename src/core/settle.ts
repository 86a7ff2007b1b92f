import { nullOid, type RefCommand } from '../model/ref.ts';
import type { Git } from '../programs/git.ts';
import { readRefsOf, syncRefs } from '../programs/refs.ts';
import { archiveTips, notReachable } from '../programs/tips.ts';
import type { Actor } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { RefResult } from './push.ts';
import type { Repos } from './repos.ts';

export interface SettleParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
}

/** Who changed refs, and what history calls it: `git-receive-pack`, `merge`, `repo undo`. */
export interface Deed {
  readonly by: Actor;
  readonly action: string;
  /** Refs that are known to have moved forward, so that nothing of them is lost. */
  readonly forward?: ReadonlySet<string> | undefined;
}

/** A value that a ref was moved away from and that can't be reached from its new one. */
export interface Left {
  readonly ref: string;
  readonly oid: string;
}

/**
 * Makes what became of refs durable, archives what was overwritten, and moves it from the journal into history.
 *
 * @returns what is in the archive alone now, in the order of `done`
 */
export async function settleRefs(
  { store, repos, git }: SettleParts,
  repo: Repository,
  done: readonly RefCommand[],
  { by, action, forward }: Deed,
): Promise<readonly Left[]> {
  const directory = repos.directory(repo);
  await syncRefs(
    directory,
    done.map(({ ref }) => ref),
  );
  const moved = done.filter(
    (command) =>
      command.new !== nullOid && command.old !== nullOid && forward?.has(command.ref) !== true,
  );
  const lost = new Set(
    moved.length === 0
      ? []
      : await notReachable(git, directory, {
          olds: moved.map(({ old }) => old),
          news: moved.map((command) => command.new),
        }),
  );
  if (lost.size > 0) await archiveTips(git, directory, [...lost]);
  const archived = done
    .filter(({ old, new: next }) => old !== nullOid && (next === nullOid || lost.has(old)))
    .map(({ ref, old }) => ({ ref, oid: old }));
  await store.pushes.settle(repo.id, action, { done, archived }, by);
  return archived;
}

/** What became of commands whose author was cut off, read from the refs themselves. @param why - they were not done */
export async function resultsOf(
  directory: string,
  commands: readonly RefCommand[],
  why: string,
): Promise<readonly RefResult[]> {
  const done = new Set(await carriedOut(directory, commands));
  return commands.map((command) => ({ command, refused: done.has(command) ? undefined : why }));
}

/** Which of some cut-off commands git had carried out: those whose ref is where they wanted it. */
export async function carriedOut(
  directory: string,
  commands: readonly RefCommand[],
): Promise<readonly RefCommand[]> {
  const values = await readRefsOf(
    directory,
    commands.map(({ ref }) => ref),
  );
  return commands.filter((command) => {
    const value = values.get(command.ref);
    const oid = value !== undefined && 'oid' in value ? value.oid : nullOid;
    return oid === command.new;
  });
}

/** Archives the tips that commands are about to delete: afterwards nothing would hold them. */
export async function archiveDeleted(
  git: Git,
  directory: string,
  commands: readonly RefCommand[],
): Promise<void> {
  const deleted = commands.filter(({ old, new: next }) => next === nullOid && old !== nullOid);
  const olds = deleted.map(({ old }) => old);
  if (olds.length > 0) await archiveTips(git, directory, olds);
}
