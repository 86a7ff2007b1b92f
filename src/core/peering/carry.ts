import { UserError } from '../../model/errors.ts';
import { rsyncVersion, runRsync } from '../../programs/rsync.ts';
import type { Progress } from '../../programs/watched.ts';
import type { Core } from '../core.ts';
import type { Remote } from './remote.ts';

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
}

/**
 * Carries the files of a session to the other side or from it.
 *
 * @throws UserError `unavailable` when it breaks off: what has arrived is kept for the next run
 */
export async function carry(
  core: Core,
  remote: Remote,
  { directory, token, direction, total, ...options }: Files & CarryOptions,
): Promise<CarriedBy> {
  const { signal, wanted } = options;
  const both =
    (await rsyncVersion()) !== undefined && (await remote.ask('caps', {})).rsync !== null;
  if (wanted === 'tar') throw new UserError('usage', '--transport tar: not in this version');
  if (!both) {
    throw new UserError('unavailable', `${remote.server.name}: no rsync on both sides`, {
      hint: 'install rsync 3.2.7 or newer on both machines',
    });
  }
  const bounds = [options.bandwidth, remote.server.bandwidth, core.config.values['sync.bandwidth']];
  const bytes = Math.min(...bounds.filter((each) => each !== undefined));
  const job = {
    ...{ target: remote.target, directory, token, direction },
    compress: core.config.values['sync.compress'] === 'true',
    bandwidthKib: Number.isFinite(bytes) ? Math.max(1, Math.floor(bytes / 1024)) : undefined,
  };
  try {
    const carried = await runRsync(job, {
      signal,
      onProgress: (done) =>
        options.progress?.({ what: `${direction}ing bytes`, done: Math.min(done, total), total }),
    });
    return { transport: 'rsync', ...carried };
  } catch (cause) {
    if (signal.aborted) throw cause;
    core.log.warn({ err: cause, server: remote.server.name }, 'a transfer broke off');
    throw new UserError('unavailable', `${remote.server.name}: the transfer broke off`, {
      hint: 'run it again: it goes on where it ended',
      cause,
    });
  }
}
