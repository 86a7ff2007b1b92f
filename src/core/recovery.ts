import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../log.ts';
import type { RefCommand } from '../model/ref.ts';
import { endLeftovers } from '../programs/leftovers.ts';
import { readRefsOf } from '../programs/refs.ts';
import { sweepQuarantine } from '../programs/sweep.ts';
import { archiveTips, notReachable } from '../programs/tips.ts';
import type { AuditRow } from '../store/audit.ts';
import type { Actor } from '../store/changes.ts';
import type { JournaledPush } from '../store/pushes.ts';
import type { Store } from '../store/store.ts';
import type { Audit, Conclusion } from './audit.ts';
import { isSyncLeftover } from './peering/sessions.ts';
import { type PurgeParts, settlePurges } from './purge.ts';
import { takeBack } from './push-request.ts';
import type { Renames } from './renames.ts';
import { carriedOut, settleRefs } from './settle.ts';

type Parts = PurgeParts & { readonly renames: Renames };

interface Recovering {
  readonly dataDir: string;
  readonly audit: Audit;
  readonly log: Log;
  /** A request whose record the process before left to this one, since it ended by itself. */
  readonly concluded: Conclusion | undefined;
}

/**
 * Cleans up after a process that did not end by itself, before any request runs. First its children are ended, so that
 * nobody works any more on what is cleaned then: moves, removals and half-made repositories are put to an end, pushes under
 * way settled by what their refs say, quarantines removed, open records closed as interrupted. The records come last:
 * a crash of the cleaning itself leaves them for the next one.
 */
export async function recover(
  parts: Parts,
  { dataDir, audit, log, concluded }: Recovering,
): Promise<void> {
  const { store, repos, renames, trash } = parts;
  const children = await endLeftovers(store.houseId);
  await store.leads.forgetDrains();
  if (concluded !== undefined) await audit.conclude(concluded);
  // First: all that follows looks for repositories where their rows say.
  const moves = await renames.settle();
  await clearIncoming(parts, { incoming: join(dataDir, 'incoming'), log });
  const pushes = await store.pushes.unsettled();
  for (const push of pushes) {
    try {
      await settleCutOff(parts, push);
    } catch (error) {
      // One repository that can't be read keeps its place in the journal, and nobody from the others.
      log.error({ err: error, repo: push.repoId }, 'a push that a crash cut off is not settled');
    }
  }
  const open = await store.audit.open();
  if (open.length > 0) await repos.sweepHalfMade();
  // No git program moves a default branch.
  if (open.some(({ action }) => !action.startsWith('git-'))) {
    await trash.settle();
    await repos.settleHeads();
  }
  await settlePurges(parts, (repo, error) => {
    log.error({ err: error, repo }, 'a purge that was cut off is not at its end');
  });
  const interrupted = await audit.closeInterrupted((row) => repositoryOf(store, row));
  if (children + moves + pushes.length + interrupted > 0) {
    log.warn({ children, moves, pushes: pushes.length, interrupted }, 'cleaned up after a crash');
  }
}

/** The repository that a git program was at work on, so that whoever asks for its record misses no reader. */
async function repositoryOf(store: Store, row: AuditRow): Promise<string | undefined> {
  const { action, principal, target = '' } = row;
  if (!action.startsWith('git-') && action !== 'rsync') return undefined;
  const own = principal.replace(/^user:/, '');
  const [name = '', namespace = own] = target.split('/').reverse();
  const namespaceId = (await store.names.given(namespace))?.ownerId ?? '';
  const [lead] = await store.paths.at({ namespaceId, name, text: target });
  return lead?.repo.id;
}

async function clearIncoming(
  { repos }: Parts,
  { incoming, log }: { incoming: string; log: Log },
): Promise<void> {
  for (const entry of await readdir(incoming)) {
    try {
      if (await isSyncLeftover(incoming, entry)) continue;
      if (entry.startsWith('removed-')) await repos.settleRemoval(entry);
      else await rm(join(incoming, entry), { recursive: true, force: true });
    } catch (error) {
      log.error({ err: error, entry }, 'what a crash left is not cleared away');
    }
  }
}

async function settleCutOff(parts: Parts, push: JournaledPush): Promise<void> {
  const { store, repos } = parts;
  const { principal, keyId, request } = push;
  const by: Actor = { principal, keyId, request, dryRun: false };
  const repo = await store.repositories.byId(push.repoId);
  if (repo === undefined) {
    // In the trash it waits: what it did is written down at the first start after a restore.
    if ((await store.trash.byId(push.repoId)) !== undefined) return;
    if (push.creates) await repos.removeUnknown(push.repoId);
    await store.pushes.settle(push.repoId, push.action, { done: [], archived: [] }, by);
    return;
  }
  const directory = repos.directory(repo);
  await sweepQuarantine(directory);
  const done = await carriedOut(directory, push.commands);
  await keepTips(
    parts,
    directory,
    push.commands.filter((command) => !done.includes(command)),
  );
  if (done.length === 0 && push.creates) await takeBack(parts, repo.id, by);
  else await settleRefs(parts, repo, done, { by, action: push.action });
}

/**
 * A push that could not be written down while the server ran may have been followed by others: its refs tell nothing
 * of it any more. What it would have overwritten is kept, whether it did or not.
 */
async function keepTips(
  { git }: Parts,
  directory: string,
  commands: readonly RefCommand[],
): Promise<void> {
  const values = await readRefsOf(
    directory,
    commands.map(({ ref }) => ref),
  );
  const news = [...values.values()].flatMap(({ oid }) => oid ?? []);
  const olds = commands.map(({ old }) => old);
  await archiveTips(git, directory, await notReachable(git, directory, { olds, news }));
}
