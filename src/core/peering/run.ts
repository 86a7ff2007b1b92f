import { UserError } from '../../model/errors.ts';
import { principalText, type ServerPrincipal } from '../../model/principal.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { OneWay } from '../../store/server-links.ts';
import type { Server } from '../../store/servers.ts';
import type { SyncResult } from '../../store/syncs.ts';
import type { Core } from '../core.ts';
import type { CarriedBy, CarryOptions } from './carry.ts';
import type { Remote } from './remote.ts';

/** What a person or the clock wants of a run. */
export interface RunOptions extends CarryOptions {
  readonly by: Actor;
  readonly allowShrink: boolean;
}

/** What a run came to; sizes in bytes. */
export interface RunReport {
  readonly repo: string;
  readonly server: string;
  readonly transport: 'none' | 'rsync' | 'tar';
  readonly result: SyncResult;
  readonly refsUpdated: number;
  readonly refsConflicted: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesTotal: number;
  readonly durationMs: number;
  /** Refs that a rule of the other side refused, and whatever else a person should know. */
  readonly notes: readonly string[];
}

/** The outcome of a run, before it is counted. */
export interface Outcome {
  readonly result: SyncResult;
  readonly updated: number;
  readonly conflicted: number;
  readonly total: number;
  readonly carried: CarriedBy | undefined;
  readonly notes: readonly string[];
}

export const quiet: Omit<Outcome, 'result'> = {
  updated: 0,
  conflicted: 0,
  total: 0,
  carried: undefined,
  notes: [],
};

/** The other server as the author of what it sent: rules and history know it by this (S13). */
export function asPeer({ id, name }: Server): ServerPrincipal {
  return { kind: 'server', id, name, keyId: '', fingerprint: '' };
}

/** Who writes what a server sent in this request. */
export function actorFor(server: Server, by: Actor, request: string): Actor {
  return { ...by, principal: principalText(asPeer(server)), keyId: undefined, request };
}

/**
 * Counts a run and writes it down, whatever it came to; of two of the same kind the second waits for the first.
 *
 * @throws what `work` throws, once that is written down; UserError `conflict` where the server was removed meanwhile
 */
export async function counted(
  core: Core,
  about: {
    remote: Remote;
    repo: Pick<Repository, 'id' | 'fullName'>;
    direction: 'out' | 'in';
    options: Pick<RunOptions, 'by' | 'signal'>;
  },
  work: () => Promise<Outcome>,
): Promise<RunReport> {
  const { remote, repo, options } = about;
  const { by, signal } = options;
  const { server } = remote;
  const turn = [`sync ${about.direction} ${server.id}`];
  const release = await core.repos.holdRefs(repo.id, turn, signal);
  const startedAt = new Date().toISOString();
  const begun = performance.now();
  const [sent, received] = [remote.sent, remote.received];
  let outcome: Outcome;
  let error: unknown;
  try {
    outcome = await work();
  } catch (cause) {
    error = cause;
    outcome = { ...quiet, result: 'failed' };
  } finally {
    release();
  }
  const { result, carried } = outcome;
  const numbers = {
    transport: carried?.transport ?? 'none',
    result,
    refsUpdated: outcome.updated,
    refsConflicted: outcome.conflicted,
    bytesSent: remote.sent - sent + (carried?.sent ?? 0),
    bytesReceived: remote.received - received + (carried?.received ?? 0),
    bytesTotal: outcome.total,
  } as const;
  if ((await core.store.servers.byId(server.id)) === undefined) {
    throw new UserError('conflict', `${server.name}: it was removed meanwhile`, { cause: error });
  }
  if (!by.dryRun) {
    const pair = { serverId: server.id, repoId: repo.id, direction: about.direction };
    const why = error instanceof UserError ? error.message : error && 'a fault of cpm';
    const more = { program: carried?.program, error: why as string | undefined, startedAt };
    await core.store.syncs.ended({ ...pair, ...numbers, ...more }, server.name, by);
  }
  if (error !== undefined) throw error;
  const durationMs = Math.round(performance.now() - begun);
  const names = { repo: repo.fullName, server: server.name };
  return { ...names, ...numbers, durationMs, notes: outcome.notes };
}

/** What is shared one way alone moves that way alone. @param other - the one way that this is not */
export async function refuseWrongWay(
  { store }: Core,
  { server }: Remote,
  repo: Repository,
  other: OneWay,
): Promise<void> {
  const link = await store.serverLinks.of(server.id, repo.id);
  if (link?.oneWay !== other) return;
  const verb = other === 'in' ? 'taken from' : 'sent to';
  throw new UserError('denied', `${repo.fullName}: it is only ${verb} ${server.name}`, {
    hint: `let it move both ways: neighbors share ${server.name} ${repo.fullName}`,
  });
}

/** Who makes a mirror what its main says, which nobody here may do: its place, its name and settings, its end. */
export function mirroring({ role }: Server, by: Actor): Actor {
  return role === 'main' ? { ...by, isImport: true } : by;
}
