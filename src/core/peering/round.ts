import { UserError } from '../../model/errors.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import { waysOf } from '../../store/server-links.ts';
import type { Server } from '../../store/servers.ts';
import { logMark, type NewMark } from '../../store/sync-marks.ts';
import type { Core } from '../core.ts';
import { pauseEnd } from './couriers.ts';
import { everyRepo } from './every-repo.ts';
import { exchangeKeys } from './key-exchange.ts';
import type { Answers, ChangedRepo } from './protocol.ts';
import { Remote } from './remote.ts';

interface Caller {
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/**
 * Meets a server: asks it once what changed there, however many repositories both have, and marks what is to be
 * carried. It is also the look at its health. Where its log is another than the one known, everything is compared.
 *
 * @throws UserError when it can't be reached or trusted; that is noted
 */
export async function meet(core: Core, server: Server, caller: Caller): Promise<void> {
  try {
    await Remote.use(core, server, { caller, work: (remote) => askAll(core, remote, caller) });
  } catch (error) {
    if (caller.signal.aborted || !(error instanceof UserError)) throw error;
    await missed(core, server, { error, by: caller.by });
    throw error;
  }
}

/** A server could not be reached, or wants nothing of us: it is left alone for a while, longer each time. */
export async function missed(
  { store }: Core,
  { id }: Server,
  { error, by }: { error: UserError; by: Actor },
): Promise<void> {
  const server = await store.servers.byId(id);
  if (server === undefined || server.state === 'untrusted') return;
  const attempts = (await store.syncPeers.of(id)).attempts + 1;
  await store.syncPeers.missed(id, attempts, pauseEnd(attempts));
  if (server.state === 'down' && server.error === error.message) return;
  await store.servers.note(server, { state: 'down', error: error.message }, by);
}

/** A server answered somebody's run: that it could not be reached is over. */
export async function reached({ store, couriers }: Core, { id }: Server, by: Actor): Promise<void> {
  const now = await store.servers.byId(id);
  if (now?.state !== 'down' || by.dryRun) return;
  await store.servers.note(now, { state: 'up' }, by);
  await store.syncPeers.tryNow(id);
  couriers.expect(id);
}

async function askAll(core: Core, remote: Remote, { by }: Caller): Promise<void> {
  const { store } = core;
  const { id } = remote.server;
  let { place } = await store.syncPeers.of(id);
  let anew: Map<string, string> | undefined;
  let met = false;
  for (;;) {
    const begun = performance.now();
    const { rows, more, ...answer } = await remote.ask('changes', place ?? {});
    const latencyMs = Math.round(performance.now() - begun);
    if (anew === undefined) await wellMet(core, remote.server, { latencyMs, by });
    if (!met) await exchangeKeys(core, remote, { announced: answer.keys ?? null, by });
    met = true;
    if (answer.anew) anew ??= new Map();
    for (const row of rows) anew?.set(row.id, row.digest);
    await store.syncMarks.put(await marksOf(core, remote.server, rows));
    await markLog(core, remote.server, answer);
    place = { epoch: answer.epoch, seq: answer.seq, stamp: answer.stamp };
    // Noted after the marks: a crash in between asks for the same once more.
    if (!more && anew !== undefined) await markMissing(core, remote.server, anew);
    if (!more || anew === undefined) await store.syncPeers.met(id, place);
    if (!more) return endRecall(core, remote.server, by);
  }
}

async function wellMet(
  { store }: Core,
  server: Server,
  { latencyMs, by }: { latencyMs: number; by: Actor },
): Promise<void> {
  const now = await store.servers.byId(server.id);
  if (now === undefined) return;
  const near = Math.abs((now.latencyMs ?? -1000) - latencyMs) < 5;
  if (now.state === 'up' && now.error === undefined && near) return;
  await store.servers.note(now, { state: 'up', latencyMs }, by);
}

/** The log of a main that is followed goes on over there, or some of what one of the two logs says is not done yet. */
async function markLog(
  { store }: Core,
  { id, role }: Server,
  { log: seq, waits }: Pick<Answers['changes'], 'log' | 'waits'>,
): Promise<void> {
  const mark = { serverId: id, repoId: logMark, name: 'the log of changes' } as const;
  if (role === 'backup' && waits) {
    const { seq: ours } = await store.digests.place();
    await store.syncMarks.put([{ ...mark, direction: 'out', seq: ours }]);
  }
  if (role !== 'main' || seq === null) return;
  const known = await store.following.of(id);
  if (known === undefined || (known.seq >= seq && !(await store.wishes.any(id)))) return;
  await store.syncMarks.put([{ ...mark, direction: 'in', seq }]);
}

/** What is to be done about repositories that changed over there. */
async function marksOf(
  core: Core,
  server: Server,
  rows: readonly ChangedRepo[],
): Promise<NewMark[]> {
  const marks: NewMark[] = [];
  for (const row of rows) {
    const mark = await markOf(core, server, row);
    if (mark !== undefined) marks.push(mark);
  }
  return marks;
}

async function markOf(
  { store }: Core,
  server: Server,
  { id, seq, digest, facts }: ChangedRepo,
): Promise<NewMark | undefined> {
  const link =
    (await store.serverLinks.byRemote(server.id, id)) ??
    (await store.serverLinks.of(server.id, id));
  const repo = link && (await store.repositories.byId(link.repoId));
  const mark = { serverId: server.id, direction: 'in', seq } as const;
  if (server.role === 'backup') {
    if (repo === undefined || facts === null) return undefined;
    if (digest === (await store.digests.of(repo.id))) return undefined;
    const direction = (await isRecalling(store, server)) ? 'in' : 'out';
    return { ...mark, direction, repoId: repo.id, name: repo.fullName };
  }
  if (link === undefined || repo === undefined) {
    const isNew = server.role === 'main' && facts !== null;
    return isNew ? { ...mark, repoId: id, name: facts.name } : undefined;
  }
  if (facts === null) return { ...mark, repoId: id, name: '' };
  if (!waysOf(link).includes('in')) return undefined;
  const isMirror = server.role === 'main' && link.bornThere;
  const equal = digest === (await store.digests.of(repo.id));
  const hasHead = repo.defaultBranch === facts.defaultBranch;
  // Both have moved to it, however that came about.
  if (hasHead)
    await store.syncPeers.agreeHead({ serverId: server.id, repoId: repo.id }, facts.defaultBranch);
  const told = isMirror ? sameFacts(repo, facts) : hasHead;
  return equal && told ? undefined : { ...mark, repoId: repo.id, name: repo.fullName };
}

function sameFacts(repo: Repository, facts: NonNullable<ChangedRepo['facts']>): boolean {
  return (
    repo.fullName === facts.name &&
    repo.description === facts.description &&
    repo.visibility === facts.visibility &&
    repo.defaultBranch === facts.defaultBranch
  );
}

/** Whether it led before this server, and may have something alone. */
export async function isRecalling({ leads }: Core['store'], { id }: Server): Promise<boolean> {
  const lead = await leads.of(id);
  return lead?.state === 'taken' && !lead.recalled;
}

/** All that a server had alone that led before is here, once it was met and nothing is to be fetched any more. */
export async function endRecall(core: Core, server: Server, by: Actor): Promise<void> {
  const { store, couriers } = core;
  if (!(await isRecalling(store, server))) return;
  if ((await store.syncPeers.of(server.id)).place === undefined) return;
  const marks = await store.syncMarks.of(server.id);
  if (marks.some(({ direction }) => direction === 'in')) return;
  await store.leads.recalled(server, by);
  await store.syncPeers.forget(server.id);
  couriers.expect(server.id);
}

/** After all was told: what of ours is not there, or otherwise, is sent. */
async function markMissing(
  core: Core,
  server: Server,
  theirs: ReadonlyMap<string, string>,
): Promise<void> {
  const { store } = core;
  if (server.role === 'main' || (await isRecalling(store, server))) return;
  const { seq } = await store.digests.place();
  const marks: NewMark[] = [];
  if (server.role === 'backup') {
    const log = { serverId: server.id, repoId: logMark, direction: 'out', seq } as const;
    marks.push({ ...log, name: 'the log of changes' });
  }
  for await (const repo of everyRepo(core, server)) {
    const link = await store.serverLinks.of(server.id, repo.id);
    const there = theirs.get(link?.remoteId ?? repo.id);
    if (there === (await store.digests.of(repo.id))) continue;
    const mark = { serverId: server.id, repoId: repo.id, seq, name: repo.fullName } as const;
    const ways = server.role === 'backup' ? (['out'] as const) : waysOf(link);
    marks.push(...ways.map((direction) => ({ ...mark, direction })));
  }
  await store.syncMarks.put(marks);
}
