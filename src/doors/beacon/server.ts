import { createServer, type Server, type Socket } from 'node:net';
import { UserError } from '../../model/errors.ts';
import { pkt } from '../../model/pktline.ts';
import type { ListenAddress } from '../../settings.ts';
import { errorText } from '../../shell/print.ts';
import {
  type Closing,
  hesitationMs,
  listenAt,
  type PassedSocket,
  type Place,
  socketOf,
} from '../listen.ts';
import { plainAddress } from '../ssh/census.ts';
import { BeaconConnection, type BeaconHouse } from './connection.ts';
import { Crowd, type CrowdLimits } from './crowd.ts';

/** What the beacon is made of. */
export interface BeaconOptions extends Omit<BeaconHouse, 'limits'> {
  /** As they are now: each connection takes those of its beginning. */
  limits(): CrowdLimits & { readonly loginGraceMs: number; readonly idleMs: number };
}

/** The door on TCP 9418: git clients read public repositories there, other servers say hello. */
export interface Beacon {
  /** Begins to accept. @returns the address with the real port. @throws Error when it can't be listened on */
  listen(place: Place): Promise<ListenAddress>;
  connections(): readonly BeaconConnection[];
  /** Ends a connection, or its request, within a second. @returns whether it is here */
  end(id: string, why: UserError): boolean;
  /** Stops accepting, lets what runs finish within the grace, then cuts it. */
  close(closing: Closing): Promise<void>;
  /** What it listens on, for another process to go on with. */
  sockets(): readonly PassedSocket[];
}

/** Makes the beacon; it accepts nobody before `listen`. */
export function openBeacon(options: BeaconOptions): Beacon {
  const crowd = new Crowd(options.limits);
  const open = new Set<BeaconConnection>();
  const servers = new Map<Server, Place>();
  const stopping = new UserError('unavailable', 'the server is stopping', {
    hint: 'try again soon',
  });
  let closing = false;
  const accept = (socket: Socket): void => {
    socket.on('error', (error) => options.log.debug({ err: error }, 'beacon socket'));
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) return void socket.destroy();
    const address = plainAddress(remoteAddress);
    const refusal = closing ? stopping : crowd.refusal(address);
    if (refusal !== undefined) return void refuseAtOnce(socket, refusal);
    const leave = crowd.arrive(address);
    const connection = new BeaconConnection(socket, address, options);
    open.add(connection);
    const served = connection.serve();
    socket.once('close', () => {
      leave();
      void served.then(() => open.delete(connection));
    });
  };
  return {
    listen: (place) => {
      const server = createServer({ allowHalfOpen: true }, accept);
      servers.set(server, place);
      server.on('error', (error) => options.log.error({ err: error }, 'beacon listener'));
      return listenAt(server, place);
    },
    connections: () => [...open],
    end: (id, why) => {
      const found = [...open].find((each) => each.id === id || each.requestId === id);
      void found?.end(why);
      return found !== undefined;
    },
    sockets: () =>
      [...servers].flatMap(([server, place]) => socketOf(server, 'neighbors', place) ?? []),
    close: async ({ graceMs, handedOver = false }) => {
      closing = true;
      const closed = [...servers.keys()].map(
        (server) => new Promise<void>((resolve) => server.close(() => resolve())),
      );
      const cutIdle = () => {
        for (const each of open) if (!each.busy) each.destroy();
      };
      // Who has just come is let in.
      const hesitant = handedOver ? setTimeout(cutIdle, hesitationMs) : cutIdle();
      const cut = setTimeout(() => {
        for (const each of open) each.destroy();
      }, graceMs);
      await Promise.all(closed);
      clearTimeout(hesitant ?? undefined);
      clearTimeout(cut);
    },
  };
}

/** Who is one too many is told so in one packet, and not waited for. */
function refuseAtOnce(socket: Socket, why: UserError): void {
  socket.end(pkt(`ERR ${errorText(why)}`));
  socket.resume();
  const cut = setTimeout(() => socket.destroy(), 1000);
  socket.once('close', () => clearTimeout(cut));
}
