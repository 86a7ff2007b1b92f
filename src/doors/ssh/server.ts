import { createServer, type Server, type Socket } from 'node:net';
import { UserError } from '../../model/errors.ts';
import { type Closing, hesitationMs, listenAt, type Place, socketOf } from '../listen.ts';
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
  const servers = new Map<Server, Place>();
  let closing: UserError | undefined;
  let leaving: UserError | undefined;
  let refusals = 0;
  let onEmpty: (() => void) | undefined;

  const handshakes = new Handshakes();
  const house = {
    options: noting(options, handshakes),
    identity,
    census,
    sweeper: new Sweeper(),
    closing: () => closing,
    leaving: () => leaving,
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
      return void takeInTurn(socket, address, { census, handshakes, begin });
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
      servers.set(server, place);
      const address = await listenAt(server, place);
      server.on('error', (error) => options.log.error({ err: error }, 'ssh listener'));
      return address;
    },
    endWhere: (matches, why) => endWhere(connections, matches, why),
    end: (id, why) => endOne(connections, id, why),
    connections: () => [...connections],
    counts: () => census.counts(),
    sockets: () => [...servers].flatMap(([server, place]) => socketOf(server, 'ssh', place) ?? []),
    close: async ({ graceMs, handedOver = false }) => {
      leaving = leavingBecause(handedOver);
      for (const server of servers.keys()) server.close();
      if (!handedOver) closing = leaving;
      if (!handedOver) handshakes.stop();
      await drain(connections, { graceMs, handedOver, why: leaving }, (empty) => {
        onEmpty = empty;
      });
      handshakes.stop();
    },
  };
}

function leavingBecause(handedOver: boolean): UserError {
  const what = `the server is ${handedOver ? 'restarting' : 'stopping'}`;
  return new UserError('unavailable', what, { hint: 'try again soon' });
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

function endWhere(
  connections: Iterable<Connection>,
  matches: Parameters<SshDoor['endWhere']>[0],
  why: UserError,
): void {
  for (const connection of connections) {
    if (connection.owner !== undefined && matches(connection.owner)) connection.end(why);
  }
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
  { graceMs, handedOver, why }: Closing & { readonly why: UserError },
  whenEmpty: (empty: () => void) => void,
): Promise<void> {
  const empty = new Promise<void>((resolve) => whenEmpty(resolve));
  const endIdle = (spared: (connection: Connection) => boolean): void => {
    for (const each of connections) if (!each.busy && !spared(each)) each.end(why);
  };
  // Who has just come is let in: to be sent away now would be a refusal.
  endIdle(({ fresh }) => handedOver === true && fresh);
  if (connections.size === 0) return;
  const endHesitant = setTimeout(() => endIdle(() => false), hesitationMs);
  const endAll = setTimeout(() => {
    for (const connection of connections) connection.end(why);
  }, graceMs);
  const cutAll = setTimeout(() => {
    for (const connection of connections) connection.destroy();
  }, graceMs + lastChanceMs);
  await empty;
  clearTimeout(endHesitant);
  clearTimeout(endAll);
  clearTimeout(cutAll);
}
