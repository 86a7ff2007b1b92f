import { randomUUID } from 'node:crypto';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import type { Log } from '../../log.ts';
import type { Run } from '../../shell/request.ts';
import { send } from '../../shell/send.ts';
import { type Frame, frame, type Kind, type LocalRequest, readFrames } from './frames.ts';
import { withSocketPath } from './socket-path.ts';

/** The local door of a running server: a Unix socket in `run/`, which only the operator's account can reach. */
export interface LocalDoor {
  /** Stops accepting, waits for what runs within the grace, and takes the socket away. */
  close(graceMs: number): Promise<void>;
}

export async function openLocalDoor(path: string, run: Run, log: Log): Promise<LocalDoor> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('error', (error) => log.debug({ err: error }, 'local socket'));
    socket.once('close', () => open.delete(socket));
    serve(socket, run)
      .catch((error) => log.warn({ err: error }, 'local request broke off'))
      .finally(() => socket.end());
  });
  await rm(path, { force: true });
  await withSocketPath(path, (short) => listen(server, short));
  await chmod(path, 0o600);
  return {
    close: async (graceMs) => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const cut = setTimeout(() => {
        for (const socket of open) socket.destroy();
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

async function serve(socket: Socket, run: Run): Promise<void> {
  const frames = readFrames(socket);
  const first = await frames.next();
  if (first.done || first.value.kind !== 'request') return;
  const asked = JSON.parse(String(first.value.payload)) as LocalRequest;
  const abort = new AbortController();
  const stdin = new PassThrough();
  const fed = feed(frames, stdin, abort);
  socket.once('close', () => abort.abort());
  const status = await run({
    id: randomUUID(),
    door: 'local',
    principal: { kind: 'operator' },
    address: undefined,
    words: asked.words,
    gitProtocol: undefined,
    stdio: { stdin, stdout: outlet(socket, 'stdout'), stderr: outlet(socket, 'stderr') },
    signal: abort.signal,
    terminal: asked.terminal,
    directory: asked.directory,
  });
  await send(socket, frame('exit', String(status)));
  socket.end();
  stdin.destroy();
  await fed;
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
