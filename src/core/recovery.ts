import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../log.ts';
import { endLeftovers } from '../programs/leftovers.ts';
import { sweepQuarantine } from '../programs/sweep.ts';
import type { Actor } from '../store/changes.ts';
import type { Audit } from './audit.ts';
import { carriedOut, type PushParts, settlePush } from './push-request.ts';

/**
 * Cleans up after a process that did not end by itself, before any request runs. First its children are ended, so that
 * nobody works any more on what is cleaned then: pushes under way are settled by what their refs say, quarantines and
 * half-made directories removed, open records closed as interrupted.
 */
export async function recover(
  parts: Pick<PushParts, 'store' | 'repos' | 'git'>,
  { dataDir, audit, log }: { dataDir: string; audit: Audit; log: Log },
): Promise<void> {
  const children = await endLeftovers(parts.store.houseId);
  const pushes = await parts.store.pushes.unsettled();
  for (const push of pushes) {
    const by: Actor = {
      principal: push.principal,
      keyId: push.keyId,
      request: push.request,
      dryRun: false,
    };
    const repo = await parts.store.repositories.byId(push.repoId);
    if (repo === undefined) {
      await parts.store.pushes.settle(push.repoId, push.action, { done: [], archived: [] }, by);
      continue;
    }
    const directory = parts.repos.directory(repo);
    await sweepQuarantine(directory);
    const done = await carriedOut(directory, push.commands);
    await settlePush(parts, repo, done, by);
    if (done.length === 0 && push.creates) await parts.repos.removeEmpty(repo.id, by);
  }
  for (const entry of await readdir(join(dataDir, 'incoming'))) {
    if (entry.startsWith('removed-')) await parts.repos.settleRemoval(entry);
    else await rm(join(dataDir, 'incoming', entry), { recursive: true, force: true });
  }
  const interrupted = await audit.closeInterrupted();
  if (children + pushes.length + interrupted > 0) {
    log.warn({ children, pushes: pushes.length, interrupted }, 'cleaned up after a crash');
  }
}
