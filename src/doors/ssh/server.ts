import { createServer, type Server, type Socket } from 'node:net';
import { UserError } from '../../model/errors.ts';
import { listenAt } from '../listen.ts';
import { Census, plainAddress } from './census.ts';
import { Connection } from './connection.ts';
import type { SshDoor, SshDoorOptions } from './door.ts';
import { Handshakes } from './handshakes.ts';
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

  const handshakes = new Handshakes();
  const house = {
    options: noting(options, handshakes),
    identity,
    census,
    sweeper: new Sweeper(),
    closing: () => closing,
    gone: (connection: Connection) => {
      connections.delete(connection);
      if (connection.owner === undefined) handshakes.failed();
      if (connections.size === 0) onEmpty?.();
    },
  };
  const accept = (socket: Socket): void => {
    socket.on('error', (error) => options.log.debug({ err: error }, 'ssh socket'));
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) return void socket.destroy();
    const address = plainAddress(remoteAddress);
    const full = census.refusal(address);
    const freed = full !== undefined && handshakes.giveWay(address);
    const refusal = closing ?? (freed ? census.refusal(address) : full);
    if (refusal === undefined) {
      const begin = () => void connections.add(new Connection(socket, address, house));
      takeInTurn(socket, address, { census, handshakes, begin });
      return;
    }
    // Whoever floods the door gets no words.
    if (refusals >= mostRefusals) return void socket.destroy();
    refusals += 1;
    socket.once('close', () => {
      refusals -= 1;
    });
    refuseAtOnce(socket, refusal);
  };
  return {
    get fingerprints() {
      return house.identity.fingerprints;
    },
    showHostKeys: async (privateKeys) => {
      house.identity = await loadHostIdentity(privateKeys);
    },
    listen: async (place) => {
      const server = createServer(accept);
      servers.push(server);
      const address = await listenAt(server, place);
      server.on('error', (error) => options.log.error({ err: error }, 'ssh listener'));
      return address;
    },
    endWhere: (matches, why) => {
      for (const connection of connections) {
        if (connection.owner !== undefined && matches(connection.owner)) connection.end(why);
      }
    },
    end: (id, why) => endOne(connections, id, why),
    connections: () => [...connections],
    counts: () => census.counts(),
    close: async (graceMs) => {
      closing = new UserError('unavailable', 'the server is stopping', { hint: 'try again soon' });
      for (const server of servers) server.close();
      handshakes.stop();
      await drain(connections, { graceMs, why: closing }, (empty) => {
        onEmpty = empty;
      });
    },
  };
}

/** The door's options, with each sign-in noted besides. */
function noting(options: SshDoorOptions, handshakes: Handshakes): SshDoorOptions {
  return {
    ...options,
    signedIn: async (owner, address) => {
      handshakes.signedIn(address);
      await options.signedIn(owner, address);
    },
  };
}

function endOne(connections: Iterable<Connection>, id: string, why: UserError): boolean {
  for (const connection of connections) {
    if (connection.id === id) connection.end(why);
    if (connection.id === id || connection.endRequest(id, why)) return true;
  }
  return false;
}

/** Who waits for a turn counts as one who signs in. */
function takeInTurn(
  socket: Socket,
  address: string,
  { census, handshakes, begin }: { census: Census; handshakes: Handshakes; begin: () => void },
): void {
  let waits = true;
  const leave = (): void => {
    if (!waits) return;
    waits = false;
    census.signInEnded(address);
    census.leave(undefined);
  };
  census.arrive(address);
  socket.once('close', leave);
  const taken = (): void => {
    leave();
    socket.off('close', leave);
    begin();
  };
  handshakes.enter({ socket, address, begin: taken, leave });
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
