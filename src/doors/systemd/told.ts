import { UserError } from '../../model/errors.ts';
import { quoted } from '../../model/repo.ts';
import type { PassedSocket } from '../listen.ts';

/** What a service manager tells a service. */
export interface Told {
  /** Where it hears: a path, or `@` and an abstract name. */
  readonly notifySocket: string | undefined;
  /** How long it waits for a sign of life; undefined where it wants none. */
  readonly watchdogMs: number | undefined;
  readonly sockets: readonly PassedSocket[];
}

const firstFd = 3;
const names = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;
const socketNames = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'] as const;

/**
 * Takes what systemd tells by the environment out of it, so that no child hears of it.
 *
 * @throws UserError `usage` for a socket of which nobody knows what it is for
 * @see sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)
 */
export function takeTold(environment: NodeJS.ProcessEnv, pid: number): Told {
  const told = new Map([...names, ...socketNames].map((name) => [name, environment[name]]));
  for (const name of told.keys()) delete environment[name];
  const forAnother = (name: 'LISTEN_PID' | 'WATCHDOG_PID') =>
    told.get(name) !== undefined && told.get(name) !== String(pid);
  const watchdogMs = Number(told.get('WATCHDOG_USEC') ?? Number.NaN) / 1000;
  const isWatched = watchdogMs > 0 && Number.isFinite(watchdogMs) && !forAnother('WATCHDOG_PID');
  // Without a pid the sockets are nobody's, unlike the watchdog.
  const isHeir = told.get('LISTEN_PID') !== undefined && !forAnother('LISTEN_PID');
  return {
    notifySocket: told.get('NOTIFY_SOCKET') || undefined,
    watchdogMs: isWatched ? watchdogMs : undefined,
    sockets: isHeir ? passed(told.get('LISTEN_FDS'), told.get('LISTEN_FDNAMES')) : [],
  };
}

function passed(count = '0', fdNames: string | undefined): readonly PassedSocket[] {
  if (!/^\d{1,3}$/.test(count)) throw new UserError('usage', `LISTEN_FDS is ${quoted(count)}`);
  const given = fdNames?.split(':');
  return Array.from({ length: Number(count) }, (_, at) => {
    const name = given?.[at] ?? 'ssh';
    if (name === 'ssh' || name === 'neighbors') return { fd: firstFd + at, name };
    throw new UserError('usage', `a socket was passed on by the name ${quoted(name)}`, {
      hint: 'in its unit write FileDescriptorName=ssh, or =neighbors for port 9418',
    });
  });
}
