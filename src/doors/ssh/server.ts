import { createServer, type Server, type Socket } from 'node:net';
import { UserError } from '../../model/errors.ts';
import { Census, plainAddress } from './census.ts';
import { Connection } from './connection.ts';
import type { ListenAddress, SshDoor, SshDoorOptions } from './door.ts';
import { refuseAtOnce } from './refusal.ts';
import { loadHostIdentity } from './ssh2-internals.ts';
import { Sweeper } from './sweeper.ts';

const mostRefusals = 64;

/**
 * Makes the SSH door; it accepts nobody before `listen`.
 *
 * @throws UserError `usage` for host keys that can't be used
 */
export async function openSshDoor(options: SshDoorOptions): Promise<SshDoor> {
  const identity = await loadHostIdentity(options.hostKeys);
  const census = new Census(options.limits);
  const connections = new Set<Connection>();
  const servers: Server[] = [];
  let closing: UserError | undefined;
  let refusals = 0;
  let onEmpty: (() => void) | undefined;

  const house = {
    options,
    identity,
    census,
    sweeper: new Sweeper(),
    closing: () => closing,
    gone: (connection: Connection) => {
      connections.delete(connection);
      if (connections.size === 0) onEmpty?.();
    },
  };
  const accept = (socket: Socket): void => {
    socket.on('error', (error) => options.log.debug({ err: error }, 'ssh socket'));
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) return void socket.destroy();
    const address = plainAddress(remoteAddress);
    const refusal = closing ?? census.refusal(address);
    if (refusal === undefined) return void connections.add(new Connection(socket, address, house));
    // Whoever floods the door gets no words.
    if (refusals >= mostRefusals) return void socket.destroy();
    refusals += 1;
    socket.once('close', () => {
      refusals -= 1;
    });
    refuseAtOnce(socket, refusal);
  };
  return {
    fingerprints: identity.fingerprints,
    listen: async (address) => {
      const server = createServer(accept);
      servers.push(server);
      return listen(server, address, options);
    },
    endWhere: (matches, why) => {
      for (const connection of connections) {
        if (connection.owner !== undefined && matches(connection.owner)) connection.end(why);
      }
    },
    end: (id, why) => {
      for (const connection of connections) {
        if (connection.id === id) connection.end(why);
        if (connection.id === id || connection.endRequest(id, why)) return true;
      }
      return false;
    },
    connections: () => [...connections],
    counts: () => census.counts(),
    close: async (graceMs) => {
      closing = new UserError('unavailable', 'the server is stopping', { hint: 'try again soon' });
      for (const server of servers) server.close();
      await drain(connections, { graceMs, why: closing }, (empty) => {
        onEmpty = empty;
      });
    },
  };
}

async function listen(
  server: Server,
  { host, port }: ListenAddress,
  { log }: SshDoorOptions,
): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: host.includes(':') }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => log.error({ err: error }, 'ssh listener'));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the listener has no address');
  return { host, port: bound.port };
}

const lastChanceMs = 3000;

/** Ends idle connections now, busy ones when their requests have ended or the grace is over. */
async function drain(
  connections: ReadonlySet<Connection>,
  { graceMs, why }: { graceMs: number; why: UserError },
  whenEmpty: (empty: () => void) => void,
): Promise<void> {
  const empty = new Promise<void>((resolve) => whenEmpty(resolve));
  for (const connection of connections) if (!connection.busy) connection.end(why);
  if (connections.size === 0) return;
  const endAll = setTimeout(() => {
    for (const connection of connections) connection.end(why);
  }, graceMs);
  const cutAll = setTimeout(() => {
    for (const connection of connections) connection.destroy();
  }, graceMs + lastChanceMs);
  await empty;
  clearTimeout(endAll);
  clearTimeout(cutAll);
}
