import type { Socket } from 'node:net';
import type { Core } from '../../core/core.ts';
import { openReception } from '../../core/neighbors/desk.ts';
import { UserError } from '../../model/errors.ts';
import { loadSockets } from '../../programs/sockets.ts';
import type { ListenAddress } from '../../settings.ts';
import type { Run } from '../../shell/request.ts';
import {
  type Closing,
  faultOf,
  type PassedSocket,
  type Place,
  placesOf,
  placeText,
} from '../listen.ts';
import { openBeacon } from './server.ts';

/** The beacon of a server that runs. */
export interface OpenBeacon {
  /** Where it listens, as `git://HOST:PORT`; nowhere when it is off. */
  readonly listeners: readonly string[];
  sockets(): readonly PassedSocket[];
  close(closing: Closing): Promise<void>;
}

/**
 * Opens the beacon where the configuration wants it.
 *
 * @param passed - sockets that are there already
 * @throws UserError `unavailable` when it can't listen there
 */
export async function openBeaconOf(
  core: Core,
  run: Run,
  passed: readonly PassedSocket[],
): Promise<OpenBeacon> {
  const wanted = placesOf('neighbors', core.config.values['neighbors.listen'], passed);
  const beacon = openBeacon({
    run,
    log: core.log,
    desk: openReception(core).desk,
    publicUrl: () => core.publicUrl(),
    acknowledge: acknowledger(),
    limits: () => {
      const { values } = core.config;
      return {
        loginGraceMs: values['limits.login_grace'],
        idleMs: values['limits.idle'],
        unauthenticated: values['limits.unauthenticated'],
        unauthenticatedPerAddress: values['limits.unauthenticated_per_address'],
      };
    },
  });
  const listeners = (await listenNear((place) => beacon.listen(place), wanted)).map(urlOf);
  const { sockets } = beacon;
  if (wanted.length === 0) return { listeners, sockets, close: (how) => beacon.close(how) };
  const unregister = core.sessions.register({
    listeners,
    connections: () =>
      beacon.connections().map(({ id, address, startedAt }) => ({
        id,
        kind: 'connection',
        connection: undefined,
        principal: 'anonymous',
        address,
        door: 'git',
        action: undefined,
        target: undefined,
        startedAt,
      })),
    endWhere: () => undefined,
    end: (id, why) => beacon.end(id, why),
  });
  return {
    listeners,
    sockets,
    close: async (how) => {
      await beacon.close(how);
      unregister();
    },
  };
}

/**
 * Opens the beacon at every place.
 *
 * @param listen - opens it at one, and throws what the kernel said
 * @throws UserError `unavailable` when it can't be opened there
 */
export async function listenNear<T>(
  listen: (place: Place) => Promise<T>,
  wanted: readonly Place[],
): Promise<readonly T[]> {
  const opened: T[] = [];
  for (const place of wanted) {
    try {
      opened.push(await listen(place));
    } catch (cause) {
      const where = 'fd' in place ? placeText(place) : urlOf(place);
      const fault = `can't listen on ${where}: ${faultOf(cause)}`;
      throw new UserError('unavailable', fault, {
        hint: 'is a git daemon there? choose another address: config set neighbors.listen HOST:PORT',
        cause,
      });
    }
  }
  return opened;
}

/** Without the compiled part, the kernel acknowledges when it likes. */
function acknowledger(): (socket: Socket) => void {
  const sockets = loadSockets();
  return (socket) => {
    const { _handle: connection } = socket as Socket & {
      readonly _handle: { readonly fd: number } | null;
    };
    if (connection !== null) sockets?.acknowledge(connection.fd);
  };
}

function urlOf({ host, port }: ListenAddress): string {
  return `git://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
