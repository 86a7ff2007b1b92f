import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { UserError } from '../../model/errors.ts';
import { loadSockets } from '../../programs/sockets.ts';
import { send } from '../../shell/send.ts';
import type { PassedSocket } from '../listen.ts';
import { frame, readFrames } from './frames.ts';
import type { Inheritance } from './heir.ts';
import { socketPath, withSocketPath } from './socket-path.ts';

/** The server in whose place this process is to serve. */
export interface Predecessor {
  readonly sockets: readonly PassedSocket[];
  /** The request that this process was started by. */
  readonly request: string | undefined;
  /** Waits until nothing runs there any more. @throws UserError `unavailable` when it changed its mind */
  gone(): Promise<void>;
  /** Tells it that this process serves, and waits until it has told whoever wants to know. */
  serving(): Promise<void>;
}

/**
 * Asks a running server for its listening sockets.
 *
 * @returns undefined where none runs, or one that gives none away
 * @throws UserError `unavailable` when this process can't take them
 */
export async function meetPredecessor(dataDir: string): Promise<Predecessor | undefined> {
  const path = socketPath(dataDir);
  const first = frame('takeover', String(process.pid));
  const taken = await withSocketPath(path, async (short) => needSockets().take(short, first));
  if (typeof taken === 'number') {
    const fault = getSystemErrorName(taken);
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes(fault)) return undefined;
    throw new UserError('unavailable', `the running server gives nothing away: ${fault}`);
  }
  const [connection = -1, ...fds] = taken;
  const socket = new Socket({ fd: connection, allowHalfOpen: true });
  socket.on('error', () => socket.destroy());
  if (fds.length === 0) {
    socket.destroy();
    return undefined;
  }
  const frames = readFrames(socket);
  const next = async (): Promise<Buffer> => {
    const { value, done } = await frames.next().catch(() => ({ value: undefined, done: true }));
    if (!done && value !== undefined) return value.payload;
    throw new UserError('unavailable', 'the running server goes on after all', {
      hint: 'its log has the reason',
    });
  };
  const { sockets, request } = JSON.parse(String(await next())) as Inheritance;
  return {
    sockets: sockets.map((each, at) => ({ ...each, fd: fds[at] ?? -1 })),
    request,
    gone: async () => void (await next()),
    serving: async () => {
      await send(socket, frame('stdin', 'serving'));
      // Whether it says a last word or not: it is gone.
      await next().catch(() => undefined);
      socket.destroy();
    },
  };
}

/** @throws UserError `unavailable` without the compiled part */
function needSockets() {
  const sockets = loadSockets();
  if (sockets !== undefined) return sockets;
  throw new UserError('unavailable', 'sockets change hands only with the compiled part of cpm', {
    hint: 'install a C compiler, then cpm again; or stop the server and start it again',
  });
}
