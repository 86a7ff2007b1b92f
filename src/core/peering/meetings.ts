import { randomUUID } from 'node:crypto';
import { UserError } from '../../model/errors.ts';
import type { Core } from '../core.ts';
import { meet } from './round.ts';

/**
 * Meets each server whose time has come, beside each other and beside all else: the fallback round, and the look at its
 * health. Nothing that a person would look for in the record comes of it.
 */
export async function startMeetings(core: Core): Promise<void> {
  const { store, couriers, log } = core;
  const now = new Date().toISOString();
  for (const server of await store.servers.list()) {
    const isOut = server.url === undefined || server.state === 'untrusted';
    if (isOut || !couriers.isDue(server.id) || couriers.working.has(server.id)) continue;
    if ((await store.syncPeers.of(server.id)).nextAt > now) continue;
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
