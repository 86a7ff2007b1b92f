import { asksAgain, untold } from '../../model/lead.ts';
import type { Server } from '../../store/servers.ts';
import { logMark, type Mark } from '../../store/sync-marks.ts';
import type { Core } from '../core.ts';
import { scanOutbox } from './outbox.ts';

/** How things stand with another server. */
export interface ServerState {
  readonly name: string;
  readonly url: string | null;
  readonly role: Server['role'];
  readonly state: Server['state'] | 'held';
  readonly latency_ms: number | null;
  /** When the two last exchanged what they have, and did not fail. */
  readonly last_sync_at: string | null;
  /** Seconds since the oldest change that it lacks; 0 where it has all; null before the first sync. */
  readonly behind_s: number | null;
  /** Repositories that the two may have otherwise. */
  readonly pending: number;
  readonly conflicts: number;
  readonly error: string | null;
}

export async function serverState(core: Core, server: Server): Promise<ServerState> {
  const { store } = core;
  await scanOutbox(core);
  const doneAt = await store.syncs.doneAt({ serverId: server.id });
  const { metAt } = await store.syncPeers.of(server.id);
  const marks = await store.syncMarks.of(server.id);
  const isHeld = server.state !== 'untrusted' && marks.some(({ held }) => held);
  const met = [doneAt, metAt].filter((each) => each !== undefined).sort();
  const failed = marks.find(({ error }) => error !== undefined)?.error;
  return {
    name: server.name,
    url: server.url ?? null,
    role: server.role,
    state: isHeld ? 'held' : server.state,
    latency_ms: server.latencyMs ?? null,
    last_sync_at: met.at(-1) ?? null,
    behind_s: met.length === 0 ? null : secondsSince(oldest(marks)),
    pending: new Set(marks.map(({ repoId }) => repoId).filter((id) => id !== logMark)).size,
    conflicts: (await store.conflicts.openWith(server.id)).length,
    error: (await leadProblem(core, server)) ?? server.error ?? failed ?? null,
  };
}

/** Why nobody writes here, where it is for a person to end that; what else is wrong comes behind it. */
async function leadProblem({ store }: Core, server: Server): Promise<string | undefined> {
  const { name, id, error } = server;
  const lead = await store.leads.of(id);
  const more = error === undefined ? '' : ` (${error})`;
  if (lead?.state === 'giving') return `${untold(name)}: ${asksAgain(name)}${more}`;
  if (lead?.state !== 'lost') return undefined;
  return `it leads, or knows who does, and this server takes no more pushes: servers follow NAME --identities${more}`;
}

function oldest(marks: readonly Mark[]): string | undefined {
  return marks.map(({ since }) => since).sort()[0];
}

/** How a repository stands with each server that it is linked with. */
export async function syncStates(core: Core, repo: { id: string }) {
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
    const doneAt = await store.syncs.doneAt(link);
    const { metAt } = await store.syncPeers.of(server.id);
    const marks = (await store.syncMarks.ofRepo(repo.id)).filter(
      ({ serverId }) => serverId === server.id,
    );
    const met = [doneAt, metAt].filter((each) => each !== undefined).sort();
    states.push({
      server: server.name,
      state: marks.some(({ held }) => held) ? 'held' : (last ?? 'unknown'),
      behind_s: met.length === 0 ? null : secondsSince(oldest(marks)),
      last_sync_at: met.at(-1) ?? null,
    });
  }
  return states;
}

/** What a reader of a mirror is told: whose it is, and how old its news of that server are; undefined for any other. */
export async function mirrorLine(
  { store }: Pick<Core, 'store'>,
  repo: { id: string },
): Promise<string | undefined> {
  const main = await store.serverLinks.writerOf(repo.id);
  if (main === undefined) return undefined;
  const { metAt } = await store.syncPeers.of(main.id);
  const doneAt = await store.syncs.doneAt({ serverId: main.id });
  const lacks = (await store.syncMarks.ofRepo(repo.id)).filter((each) => each.serverId === main.id);
  const met = [metAt, doneAt].filter((each) => each !== undefined).sort();
  const since = oldest(lacks) ?? met.at(-1);
  if (since === undefined) return `mirror of ${main.name}, which was not met yet`;
  return `mirror of ${main.name}, ${secondsSince(since)} s behind`;
}

function secondsSince(at: string | undefined): number {
  return at === undefined ? 0 : Math.max(0, Math.floor((Date.now() - Date.parse(at)) / 1000));
}
