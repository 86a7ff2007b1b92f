import type { Server } from 'node:net';
import type { ListenAddress } from '../settings.ts';

/** Where a door listens: an address of its own, or a socket that was opened for it before. */
export type Place = ListenAddress | { readonly fd: number };

/** @returns the address with the real port @throws Error when it can't be listened on */
export async function listenAt(server: Server, place: Place): Promise<ListenAddress> {
  const options = 'fd' in place ? place : { ...place, ipv6Only: place.host.includes(':') };
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
  return { host: 'fd' in place ? bound.address : place.host, port: bound.port };
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
