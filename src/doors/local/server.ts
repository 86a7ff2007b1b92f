import { randomUUID } from 'node:crypto';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import type { Log } from '../../log.ts';
import type { UserError } from '../../model/errors.ts';
import { errorText } from '../../shell/print.ts';
import type { Run } from '../../shell/request.ts';
import { send } from '../../shell/send.ts';
import { type Frame, frame, type Kind, type LocalRequest, readFrames } from './frames.ts';
import { withSocketPath } from './socket-path.ts';

/** The local door of a running server: a Unix socket in `run/`, which only the operator's account can reach. */
export interface LocalDoor {
  connections(): readonly LocalConnection[];
  /** Ends a connection, or its request, within a second. @returns whether it is here */
  end(id: string, why: UserError): boolean;
  /** Stops accepting, waits for what runs within the grace, and takes the socket away. */
  close(graceMs: number): Promise<void>;
}

/** A connection of the operator's. */
export interface LocalConnection {
  /** A UUID. */
  readonly id: string;
  /** ISO 8601 UTC. */
  readonly startedAt: string;
}

/** How long a request has to end by itself, once it is told to. */
const patienceMs = 500;
/** When the connection of one that reads nothing is cut. */
const longestEndMs = 900;

export async function openLocalDoor(path: string, run: Run, log: Log): Promise<LocalDoor> {
  const open = new Set<Connection>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = new Connection(socket);
    open.add(connection);
    socket.on('error', (error) => log.debug({ err: error }, 'local socket'));
    socket.once('close', () => open.delete(connection));
    connection
      .serve(run)
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
    close: async (graceMs) => {
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

/** One connection and its one request. */
class Connection {
  readonly id = randomUUID();
  readonly requestId = randomUUID();
  readonly startedAt = new Date().toISOString();
  readonly #socket: Socket;
  readonly #abort = new AbortController();
  #answered: Promise<void> | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.once('close', () => this.#abort.abort());
  }

  async serve(run: Run): Promise<void> {
    const socket = this.#socket;
    const frames = readFrames(socket);
    const first = await frames.next();
    if (first.done || first.value.kind !== 'request') return;
    const asked = JSON.parse(String(first.value.payload)) as LocalRequest;
    const stdin = new PassThrough();
    const fed = feed(frames, stdin, this.#abort);
    this.#answered = this.#answer(run, asked, stdin);
    await this.#answered;
    stdin.destroy();
    await fed;
  }

  async #answer(run: Run, asked: LocalRequest, stdin: PassThrough): Promise<void> {
    const socket = this.#socket;
    const status = await run({
      id: this.requestId,
      door: 'local',
      principal: { kind: 'operator' },
      address: undefined,
      connection: this.id,
      words: asked.words,
      gitProtocol: undefined,
      stdio: { stdin, stdout: outlet(socket, 'stdout'), stderr: outlet(socket, 'stderr') },
      signal: this.#abort.signal,
      terminal: asked.terminal,
      directory: asked.directory,
    });
    await this.#finish(status);
  }

  async #finish(status: number): Promise<void> {
    if (this.#socket.writableEnded) return;
    await send(this.#socket, frame('exit', String(status)));
    this.#socket.end();
  }

  /** Tells the request to end; one that doesn't is left behind. */
  async end(why: UserError): Promise<void> {
    const cut = setTimeout(() => this.#socket.destroy(), longestEndMs);
    this.#socket.once('close', () => clearTimeout(cut));
    this.#abort.abort(why);
    await Promise.race([this.#answered, wait(patienceMs, undefined, { ref: false })]);
    if (this.#socket.writableEnded) return;
    await send(this.#socket, frame('stderr', `${errorText(why)}\n`));
    await this.#finish(why.status);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Passes standard input on; ends when the client is gone. */
async function feed(
  frames: AsyncGenerator<Frame>,
  stdin: PassThrough,
  abort: AbortController,
): Promise<void> {
  try {
    for await (const { kind, payload } of frames) {
      if (kind === 'interrupt') abort.abort();
      else if (payload.length === 0) stdin.end();
      else await send(stdin, payload);
    }
  } catch {
    // The client went away in the middle of a frame: its request is aborted below.
  }
  stdin.end();
}

function outlet(socket: Socket, kind: Kind): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      send(socket, frame(kind, chunk)).then(() => done(), done);
    },
  });
}
