import { UserError } from '../../model/errors.ts';
import { runRsync } from '../../programs/rsync.ts';
import { guardSize } from '../../programs/size.ts';
import type { Progress } from '../../programs/watched.ts';
import type { Core } from '../core.ts';
import type { Remote } from './remote.ts';
import { slackBytes } from './sessions.ts';
import { runTar } from './tar.ts';

export type Transport = 'rsync' | 'tar';

/** How much passed, and by what. */
export interface CarriedBy {
  readonly transport: Transport;
  readonly sent: number;
  readonly received: number;
  readonly program: string;
}

export interface CarryOptions {
  readonly wanted: 'auto' | Transport;
  /** Bytes a second; undefined without a bound. */
  readonly bandwidth: number | undefined;
  readonly signal: AbortSignal;
  /** Hears how many bytes of the session's files have passed. */
  readonly progress: ((now: Progress) => void) | undefined;
}

interface Files {
  /** The local session directory. */
  readonly directory: string;
  readonly token: string;
  readonly direction: 'push' | 'pull';
  /** Bytes of its files. */
  readonly total: number;
  /** The other side's rsync, where its answer said that; null without one. */
  readonly theirs?: string | null | undefined;
}

/** The version of the rsync that takes part in sync here; undefined without one, or where the operator wants tar. */
export async function ownRsync({ config, rsync }: Core): Promise<string | undefined> {
  return config.values['sync.transport'] === 'tar' ? undefined : rsync.version();
}

/** What carries: what was asked for, else rsync where both sides have it. @throws UserError `unavailable` */
async function transportOf(
  core: Core,
  remote: Remote,
  { wanted, theirs }: { wanted: CarryOptions['wanted']; theirs: Files['theirs'] },
): Promise<Transport> {
  if (wanted === 'tar') return 'tar';
  const there = theirs === undefined ? (await remote.ask('caps', {})).rsync : theirs;
  const both = (await core.rsync.version()) !== undefined && there !== null;
  if (both) return 'rsync';
  if (wanted === 'auto') return 'tar';
  throw new UserError('unavailable', `${remote.server.name}: no rsync on both sides`, {
    hint: 'install rsync 3.2.7 or newer on both machines, or take --transport tar',
  });
}

/**
 * Carries the files of a session to the other side or from it.
 *
 * @throws UserError `unavailable` when it breaks off: what has arrived is kept for the next run
 */
export async function carry(
  core: Core,
  remote: Remote,
  { directory, token, direction, total, theirs, ...options }: Files & CarryOptions,
): Promise<CarriedBy> {
  const { wanted } = options;
  const bounds = [options.bandwidth, remote.server.bandwidth, core.config.values['sync.bandwidth']];
  const bytesPerSecond = Math.min(...bounds.filter((each) => each !== undefined));
  const onProgress = (done: number) =>
    options.progress?.({ what: `${direction}ing bytes`, done: Math.min(done, total), total });
  const tooMuch = new AbortController();
  const known = core.couriers.tie(remote.server.id);
  const signal = AbortSignal.any([options.signal, tooMuch.signal, known]);
  // rsync keeps what an earlier run left beside what it makes of it.
  const limitBytes = 2 * total + slackBytes;
  const reserveBytes = core.room.limits.diskReserveBytes;
  const guard = direction === 'pull' ? { directory, limitBytes, reserveBytes } : undefined;
  const onOver = () =>
    void core.room.onDisk().then(
      () => tooMuch.abort(tooLong(remote)),
      (full) => tooMuch.abort(full),
    );
  const release = guard && guardSize(guard, onOver);
  const job = { directory, token, direction, signal, onProgress };
  try {
    const transport = await transportOf(core, remote, { wanted, theirs });
    if (transport === 'tar') {
      const carried = await runTar(remote, { ...job, limitBytes, bytesPerSecond });
      return { transport, ...carried };
    }
    const carried = await runRsync({
      ...job,
      target: remote.target,
      houseId: core.store.houseId,
      compress: core.config.values['sync.compress'] === 'true',
      bandwidthKib: kibOf(bytesPerSecond),
    });
    return { transport, ...carried };
  } catch (cause) {
    if (cause instanceof UserError || options.signal.aborted) throw cause;
    core.log.warn({ err: cause, server: remote.server.name }, 'a transfer broke off');
    throw new UserError('unavailable', `${remote.server.name}: the transfer broke off`, {
      hint: 'run it again: it goes on where it ended',
      cause,
    });
  } finally {
    release?.();
  }
}

/** KiB as rsync counts a bandwidth; undefined without a bound. */
export function kibOf(bytesPerSecond: number): number | undefined {
  if (bytesPerSecond === Number.POSITIVE_INFINITY) return undefined;
  return Math.max(1, Math.floor(bytesPerSecond / 1024));
}

function tooLong({ server }: Remote): UserError {
  return new UserError('unavailable', `${server.name}: it sends more than it said`, {
    hint: 'what came is not taken; look at that server before it is asked again',
  });
}
