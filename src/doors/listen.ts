import { closeSync } from 'node:fs';
import type { Server } from 'node:net';
import { UserError } from '../model/errors.ts';
import type { ListenAddress } from '../settings.ts';

/** A listening socket that was opened by whoever was there before this process. */
export interface PassedSocket {
  readonly fd: number;
  /** Which door it is for. */
  readonly name: 'ssh' | 'neighbors' | 'local';
  /** The setting that it was opened for; absent where a service manager opened it. */
  readonly setting?: ListenAddress | undefined;
}

/** Where a door listens: an address of its own, or a socket that is there already. */
export type Place = ListenAddress | PassedSocket;

/** What ends connections when a door closes. */
export interface Closing {
  /** How long requests may go on. */
  readonly graceMs: number;
  /**
   * Whether another process has the listening sockets by now: then nobody is refused, and whoever is just signing in gets
   * their request through.
   */
  readonly handedOver?: boolean | undefined;
}

/** How long somebody who is in but has not asked for anything may take, when another process is to serve soon. */
export const hesitationMs = 5000;

/** @returns the address with the real port @throws Error when it can't be listened on */
export async function listenAt(server: Server, place: Place): Promise<ListenAddress> {
  const options =
    'fd' in place ? { fd: place.fd } : { ...place, ipv6Only: place.host.includes(':') };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') {
    server.close();
    throw new Error('not a TCP socket');
  }
  const { host } = 'fd' in place ? (place.setting ?? { host: bound.address }) : place;
  return { host, port: bound.port };
}

/** What a server listens on, for another process to go on with; undefined once it is closed. */
export function socketOf(
  server: Server,
  name: PassedSocket['name'],
  place?: Place,
): PassedSocket | undefined {
  const { _handle: listening } = server as Server & {
    readonly _handle: { readonly fd: number } | null;
  };
  if (listening === null) return undefined;
  const setting = place !== undefined && 'fd' in place ? place.setting : place;
  return { fd: listening.fd, name, setting };
}

/**
 * Where a door listens: on the sockets that a service manager opened for it, else where the settings say, on the sockets
 * that are there for these already. What nobody wants any more is closed.
 */
export function placesOf(
  door: PassedSocket['name'],
  wanted: readonly ListenAddress[],
  sockets: readonly PassedSocket[],
): readonly Place[] {
  const own = sockets.filter(({ name }) => name === door);
  const opened = own.filter(({ setting }) => setting === undefined);
  if (opened.length > 0) return opened;
  const places = wanted.map(({ host, port }): Place => {
    const at = own.findIndex(({ setting }) => setting?.host === host && setting.port === port);
    return own.splice(at, at < 0 ? 0 : 1)[0] ?? { host, port };
  });
  for (const { fd } of own) closeSync(fd);
  return places;
}

/** `HOST:PORT`, or which of the passed sockets. */
export function placeText(place: Place): string {
  return 'fd' in place ? `the passed socket ${place.fd}` : `${place.host}:${place.port}`;
}

/** What the kernel said, or Node. */
export function faultOf(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code ?? message;
}

/**
 * Opens the SSH door at every place. A family that the machine lacks is a warning, unless nothing is left.
 *
 * @param listen - opens it at one, and throws what the kernel said
 * @throws UserError `unavailable` when it can't be opened there
 */
export async function listenAll<T>(
  listen: (place: Place) => Promise<T>,
  wanted: readonly Place[],
  warn: (text: string) => void,
): Promise<readonly T[]> {
  const opened: T[] = [];
  for (const place of wanted) {
    try {
      opened.push(await listen(place));
    } catch (cause) {
      const code = faultOf(cause);
      const fault = `can't listen on ${placeText(place)}: ${code}`;
      const lacking = code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL';
      if (!lacking || (opened.length === 0 && place === wanted.at(-1))) {
        throw new UserError('unavailable', fault, {
          hint: 'is another server there? choose another address with --listen HOST:PORT',
          cause,
        });
      }
      warn(fault);
    }
  }
  return opened;
}
