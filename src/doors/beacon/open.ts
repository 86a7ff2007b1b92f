import type { Core } from '../../core/core.ts';
import { openReception } from '../../core/neighbors/desk.ts';
import { UserError } from '../../model/errors.ts';
import type { ListenAddress } from '../../settings.ts';
import type { Run } from '../../shell/request.ts';
import { faultOf, type Place, placeText } from '../listen.ts';
import { type Beacon, openBeacon } from './server.ts';

/** The beacon of a server that runs. */
export interface OpenBeacon {
  /** Where it listens, as `git://HOST:PORT`; nowhere when it is off. */
  readonly listeners: readonly string[];
  close(graceMs: number): Promise<void>;
}

/**
 * Opens the beacon where the configuration wants it.
 *
 * @param passed - sockets that were opened for it; then it opens none itself
 * @throws UserError `unavailable` when it can't listen there
 */
export async function openBeaconOf(
  core: Core,
  run: Run,
  passed: readonly Place[] = [],
): Promise<OpenBeacon> {
  const wanted = passed.length > 0 ? passed : core.config.values['neighbors.listen'];
  const beacon = openBeacon({
    run,
    log: core.log,
    desk: openReception(core).desk,
    publicUrl: () => core.publicUrl(),
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
  const listeners: string[] = [];
  for (const place of wanted) listeners.push(urlOf(await listen(beacon, place)));
  if (wanted.length === 0) return { listeners, close: (graceMs) => beacon.close(graceMs) };
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
    close: async (graceMs) => {
      await beacon.close(graceMs);
      unregister();
    },
  };
}

async function listen(beacon: Beacon, place: Place): Promise<ListenAddress> {
  try {
    return await beacon.listen(place);
  } catch (cause) {
    const where = 'fd' in place ? placeText(place) : urlOf(place);
    const fault = `can't listen on ${where}: ${faultOf(cause)}`;
    throw new UserError('unavailable', fault, {
      hint: 'is a git daemon there? choose another address: config set neighbors.listen HOST:PORT',
      cause,
    });
  }
}

function urlOf({ host, port }: ListenAddress): string {
  return `git://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
