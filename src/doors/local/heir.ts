import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { UserError } from '../../model/errors.ts';
import { loadSockets } from '../../programs/sockets.ts';
import { send } from '../../shell/send.ts';
import type { PassedSocket } from '../listen.ts';
import { type Frame, frame } from './frames.ts';

/** What a process hears that is to serve in this one's place, before it does. */
export interface Inheritance {
  /** The listening sockets, without the numbers that they have here. */
  readonly sockets: readonly Omit<PassedSocket, 'fd'>[];
  /** The request that it comes from, whose record it closes; undefined where it came by itself. */
  readonly request: string | undefined;
}

/**
 * A process that is to serve in this one's place, at the other end of a connection. First it is given the listening
 * sockets; when nothing runs here any more it is told that the data directory is its own; and once it serves it says so.
 */
export class Heir {
  readonly pid: number;
  readonly #socket: Socket;
  readonly #frames: AsyncGenerator<Frame>;

  constructor(pid: number, socket: Socket, frames: AsyncGenerator<Frame>) {
    this.pid = pid;
    this.#socket = socket;
    this.#frames = frames;
  }

  /** @throws UserError `unavailable` when the sockets can't be handed over */
  async give(sockets: readonly PassedSocket[], request: string | undefined): Promise<void> {
    const { _handle: connection } = this.#socket as Socket & {
      readonly _handle?: { readonly fd: number };
    };
    const fds = sockets.map(({ fd }) => fd);
    const fault = loadSockets()?.give(connection?.fd ?? -1, ...fds) ?? -1;
    if (fault < 0) {
      const why = `the listening sockets can't be handed over: ${getSystemErrorName(fault)}`;
      throw new UserError('unavailable', why);
    }
    const inheritance: Inheritance = {
      sockets: sockets.map(({ name, setting }) => ({ name, setting })),
      request,
    };
    await send(this.#socket, frame('stdout', JSON.stringify(inheritance)));
  }

  /** Leaves the data directory to it. @returns whether it serves; false when it is gone instead */
  async enters(): Promise<boolean> {
    await send(this.#socket, frame('stdout'));
    try {
      const { done } = await this.#frames.next();
      return !done;
    } catch {
      return false;
    }
  }

  /** It may go on alone. */
  async leave(): Promise<void> {
    await send(this.#socket, frame('exit', '0'));
    this.#socket.end();
  }

  /** Nothing comes of it. */
  refuse(): void {
    this.#socket.destroy();
  }
}
