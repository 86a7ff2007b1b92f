import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Log } from '../../log.ts';
import type { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import type { Request } from '../../shell/request.ts';
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
  /** Stops accepting, waits for what runs within the grace, and takes the socket away. */
  close(graceMs: number): Promise<void>;
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

export async function openLocalDoor(path: string, host: Host, log: Log): Promise<LocalDoor> {
  const open = new Set<Connection>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = new Connection(socket);
    open.add(connection);
    socket.on('error', (error) => log.debug({ err: error }, 'local socket'));
    socket.once('close', () => open.delete(connection));
    connection
      .serve(host)
      .catch((error) => log.warn({ err: error }, 'local request broke off'))
      .finally(() => socket.end());
  });
  await rm(path, { force: true });
  await withSocketPath(path, (short) => listen(server, short));
  await chmod(path, 0o600);
  return {
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
    close: async (graceMs) => {
      // Whoever comes from now on finds nobody; whoever found the door a moment ago is let in.
      await rm(path, { force: true });
      await wait(lastCallMs);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const cut = setTimeout(() => {
        for (const connection of open) connection.destroy();
      }, graceMs);
      await closed;
      clearTimeout(cut);
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
