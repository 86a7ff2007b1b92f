import { randomUUID } from 'node:crypto';
import { UserError } from '../../model/errors.ts';
import type { Core } from '../core.ts';
import { isPaused } from './couriers.ts';
import { meet } from './round.ts';

/** Servers that start at the same moment, as after a power cut, don't all ask each other in the same one. */
const longestStartMs = 1000;

/**
 * At a start: what kept this server from another, or a run from its end, may be gone with the old process, or with what it
 * was down for. Whatever is left alone for a while is tried at once; that it failed before still counts for the next pause.
 */
export async function endPauses({ store }: Core): Promise<void> {
  for (const { id } of await store.servers.list()) {
    const at = new Date(Date.now() + Math.random() * longestStartMs).toISOString();
    await store.syncPeers.tryBy(id, at);
    await store.syncMarks.tryBy(id, at);
  }
}

/**
 * Meets each server whose time has come, beside each other and beside all else: the fallback round, and the look at its
 * health. Nothing that a person would look for in the record comes of it.
 */
export async function startMeetings(core: Core): Promise<void> {
  const { store, couriers, log } = core;
  for (const server of await store.servers.list()) {
    const isOut = server.url === undefined || server.state === 'untrusted';
    if (isOut || !couriers.isDue(server.id) || couriers.working.has(server.id)) continue;
    if (isPaused((await store.syncPeers.of(server.id)).nextAt)) continue;
    const by = {
      principal: 'operator',
      keyId: undefined,
      request: randomUUID(),
      dryRun: false,
    };
    const intervalMs = core.config.values['sync.interval'];
    couriers
      .meeting(server.id, intervalMs, () => meet(core, server, { by, signal: couriers.signal }))
      .catch((error) => {
        if (error instanceof UserError || couriers.signal.aborted) return;
        log.error({ err: error, server: server.name }, 'a server was not met');
      });
  }
}
