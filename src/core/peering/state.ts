import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';

/** How things stand with another server. */
export interface ServerState {
  readonly name: string;
  readonly url: string | null;
  readonly role: Server['role'];
  readonly state: Server['state'] | 'held';
  readonly latency_ms: number | null;
  readonly last_sync_at: string | null;
  /** Seconds since the oldest change that it lacks; 0 where it has all; null before the first sync. */
  readonly behind_s: number | null;
  /** Repositories that changed since they were last equal. */
  readonly pending: number;
  readonly conflicts: number;
  readonly error: string | null;
}

export async function serverState(core: Core, server: Server): Promise<ServerState> {
  const { store } = core;
  const last = await store.syncs.lastWith(server.id);
  const { pending, since } = await pendingOf(core, server);
  const held = last?.result === 'held' && server.state !== 'untrusted';
  return {
    name: server.name,
    url: server.url ?? null,
    role: server.role,
    state: held ? 'held' : server.state,
    latency_ms: server.latencyMs ?? null,
    last_sync_at: last?.endedAt ?? null,
    behind_s: last === undefined ? null : secondsSince(since),
    pending,
    conflicts: (await store.conflicts.openWith(server.id)).length,
    error: server.error ?? last?.error ?? null,
  };
}

/** How a repository stands with each server that it is linked with. */
export async function syncStates(core: Core, repo: { id: string; updatedAt: string }) {
  const { store } = core;
  const states: {
    server: string;
    state: string;
    behind_s: number | null;
    last_sync_at: string | null;
  }[] = [];
  for (const link of await store.serverLinks.ofRepo(repo.id)) {
    const server = await store.servers.byId(link.serverId);
    if (server === undefined) continue;
    const last = await store.syncs.lastOf(link);
    const behind = last !== undefined && last.endedAt < repo.updatedAt;
    states.push({
      server: server.name,
      state: last?.result ?? 'unknown',
      behind_s: last === undefined ? null : secondsSince(behind ? repo.updatedAt : undefined),
      last_sync_at: last?.endedAt ?? null,
    });
  }
  return states;
}

async function pendingOf(core: Core, server: Server) {
  const { store } = core;
  let pending = 0;
  let since: string | undefined;
  for (const link of await store.serverLinks.listOf(server.id)) {
    const repo = await store.repositories.byId(link.repoId);
    if (repo === undefined) continue;
    const last = await store.syncs.lastOf(link);
    if (last !== undefined && last.endedAt >= repo.updatedAt) continue;
    pending += 1;
    if (since === undefined || repo.updatedAt < since) since = repo.updatedAt;
  }
  return { pending, since };
}

function secondsSince(at: string | undefined): number {
  return at === undefined ? 0 : Math.max(0, Math.floor((Date.now() - Date.parse(at)) / 1000));
}
