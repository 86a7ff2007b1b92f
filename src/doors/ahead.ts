import { createServer } from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { Config } from '../config.ts';
import { loadSockets } from '../programs/sockets.ts';
import type { ListenAddress } from '../settings.ts';
import { listenNear } from './beacon/open.ts';
import {
  listenAll,
  listenAt,
  type PassedSocket,
  type Place,
  placesOf,
  socketOf,
} from './listen.ts';

/**
 * Opens what the settings want and no socket is there for, in a process that is to serve in another's place: what can't be
 * listened on is found before the database is touched, and the other goes on with one that it knows. Whoever comes there
 * waits until the doors take the sockets. Takes the compiled part.
 *
 * @param passed - what is there already; what nobody wants any more is closed
 * @returns all that there is now
 * @throws UserError `unavailable`, as the doors would
 */
export async function openAhead(
  values: Pick<Config['values'], 'listen' | 'neighbors.listen'>,
  passed: readonly PassedSocket[],
): Promise<readonly PassedSocket[]> {
  const open = (name: PassedSocket['name']) => async (place: Place) =>
    'fd' in place ? place : hold(name, place);
  const ssh = placesOf('ssh', values.listen, passed);
  const neighbors = placesOf('neighbors', values['neighbors.listen'], passed);
  return [
    ...passed.filter(({ name }) => name === 'local'),
    // The door warns of what the machine lacks, when it tries again.
    ...(await listenAll(open('ssh'), ssh, () => undefined)),
    ...(await listenNear(open('neighbors'), neighbors)),
  ];
}

/** A socket that listens, of which Node knows nothing: it would accept. */
async function hold(name: PassedSocket['name'], setting: ListenAddress): Promise<PassedSocket> {
  const server = createServer();
  await listenAt(server, setting);
  // Before Node looks who has come.
  const fd = loadSockets()?.duplicate(socketOf(server, name)?.fd ?? -1) ?? -1;
  server.close();
  if (fd < 0) throw new Error(getSystemErrorName(fd));
  return { fd, name, setting };
}
