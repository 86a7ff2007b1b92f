import { chmod, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Log } from '../../log.ts';
import type { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import type { Request } from '../../shell/request.ts';
import { type Closing, type PassedSocket, socketOf } from '../listen.ts';
import { Connection, type Host } from './connection.ts';
import { withSocketPath } from './socket-path.ts';

/**
 * The local door of a running server: a Unix socket in `run/`, which only the operator's account can reach. The operator
 * comes through it, and those whom sshd sends in.
 */
export interface LocalDoor {
  connections(): readonly LocalConnection[];
  /** Ends a connection, or its request, within a second. @returns whether it is here */
  end(id: string, why: UserError): boolean;
  /** Ends what matching principals have open, within a second; `why` is told to them. */
  endWhere(matches: (principal: Principal) => boolean, why: UserError): void;
  /** Waits until nobody has been here for so long, or the signal says. */
  idle(ms: number, signal: AbortSignal): Promise<void>;
  /** What it listens on, for another process to go on with. */
  sockets(): readonly PassedSocket[];
  /**
   * Stops accepting and waits for what runs within the grace; takes the socket away, unless another process has it.
   *
   * @param stays - which requests are not waited for
   */
  close(closing: Closing, stays?: (requestId: string) => boolean): Promise<void>;
  /** Waits until the last connection is gone. */
  left(): Promise<void>;
}

/** A connection of the operator's, or of a guest. */
export interface LocalConnection {
  /** A UUID. */
  readonly id: string;
  /** ISO 8601 UTC. */
  readonly startedAt: string;
  readonly door: Request['door'];
  readonly principal: Principal;
  readonly address: string | undefined;
}

const lookMs = 250;
const lastCallMs = 50;

/** @param passed - the socket, where another process had it before */
export async function openLocalDoor(
  path: string,
  host: Host,
  { log, passed }: { log: Log; passed?: PassedSocket | undefined },
): Promise<LocalDoor> {
  const open = new Set<Connection>();
  let onGone: (() => void) | undefined;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = new Connection(socket);
    open.add(connection);
    socket.on('error', (error) => log.debug({ err: error }, 'local socket'));
    socket.once('close', () => {
      open.delete(connection);
      onGone?.();
    });
    connection
      .serve(host)
      .catch((error) => log.warn({ err: error }, 'local request broke off'))
      .finally(() => socket.end());
  });
  if (passed === undefined) await listenAtPath(server, path);
  else await listen(server, { fd: passed.fd });
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        onGone = resolve;
      });
    }
  };
  return {
    sockets: () => [socketOf(server, 'local') ?? []].flat(),
    connections: () => [...open],
    end: (id, why) => {
      const found = [...open].find((each) => each.id === id || each.requestId === id);
      void found?.end(why);
      return found !== undefined;
    },
    endWhere: (matches, why) => {
      for (const each of open)
        if (each.door === 'forced' && matches(each.principal)) void each.end(why);
    },
    idle: async (ms, signal) => {
      for (let sinceMs = 0; sinceMs < ms && !signal.aborted; ) {
        await wait(lookMs, undefined, { signal }).catch(() => undefined);
        sinceMs = open.size > 0 ? 0 : sinceMs + lookMs;
      }
    },
    close: async ({ graceMs, handedOver }, stays = () => false) => {
      if (!handedOver) {
        // Whoever comes from now on finds nobody; whoever found the door a moment ago is let in.
        await rm(path, { force: true });
        await wait(lastCallMs);
      }
      server.close();
      const others = () =>
        [...open].filter(({ isHeir, requestId }) => !isHeir && !stays(requestId));
      const cut = setTimeout(() => {
        for (const connection of others()) connection.destroy();
      }, graceMs);
      await until(() => others().length === 0);
      clearTimeout(cut);
    },
    left: () => until(() => open.size === 0),
  };
}

/** Under another name first: who closes a socket that has its first name takes the name away, whoever has the socket then. */
async function listenAtPath(server: Server, path: string): Promise<void> {
  const first = `${path}.new`;
  await rm(first, { force: true });
  await withSocketPath(first, (short) => listen(server, { path: short }));
  await chmod(first, 0o600);
  await rename(first, path);
}

async function listen(server: Server, at: { path: string } | { fd: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
