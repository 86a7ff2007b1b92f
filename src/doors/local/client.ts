import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Stdio } from '../../model/stdio.ts';
import { send } from '../../shell/send.ts';
import { frame, type LocalRequest, readFrames } from './frames.ts';
import { withSocketPath } from './socket-path.ts';

/**
 * Lets a running server carry a request out.
 *
 * @param signal - its abort is passed on as an interrupt
 * @returns the exit status; undefined when no server listens there
 * @throws Error when the server goes away before it answered
 */
export async function askServer(
  path: string,
  request: LocalRequest,
  streams: { stdio: Stdio; signal: AbortSignal },
): Promise<number | undefined> {
  return relay(path, frame('request', JSON.stringify(request)), streams);
}

/** The same, for any first frame. */
export async function relay(
  path: string,
  first: Buffer,
  { stdio, signal }: { stdio: Stdio; signal: AbortSignal },
): Promise<number | undefined> {
  const socket = await reach(path);
  if (socket === undefined) return undefined;
  const interrupt = () => void send(socket, frame('interrupt'));
  signal.addEventListener('abort', interrupt, { once: true });
  await send(socket, first);
  void forward(stdio.stdin, socket);
  try {
    for await (const { kind, payload } of readFrames(socket)) {
      if (kind === 'exit') return Number(String(payload));
      await send(kind === 'stderr' ? stdio.stderr : stdio.stdout, payload);
    }
  } finally {
    signal.removeEventListener('abort', interrupt);
    stdio.stdin.pause();
    stdio.stdin.destroy();
    socket.destroy();
  }
  throw new Error('the server went away before it answered');
}

/** Asks whoever listens there to make room for a server that starts. @returns whether it does */
export async function askToYield(path: string): Promise<boolean> {
  const socket = await reach(path);
  if (socket === undefined) return false;
  try {
    await send(socket, frame('yield'));
    for await (const { kind, payload } of readFrames(socket)) {
      if (kind === 'exit') return Number(String(payload)) === 0;
    }
    return false;
  } finally {
    socket.destroy();
  }
}

/** Whether anybody listens there. */
export async function listens(path: string): Promise<boolean> {
  const socket = await reach(path);
  socket?.destroy();
  return socket !== undefined;
}

async function reach(path: string): Promise<Socket | undefined> {
  return existsSync(dirname(path)) ? withSocketPath(path, open) : undefined;
}

async function open(path: string): Promise<Socket | undefined> {
  const socket = connect({ path, allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    socket.once('connect', () => {
      // Errors from now on end the loop that reads.
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const absent = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
      if (absent) resolve(undefined);
      else reject(error);
    });
  });
}

async function forward(stdin: Stdio['stdin'], socket: Socket): Promise<void> {
  try {
    for await (const chunk of stdin) await send(socket, frame('stdin', chunk as Buffer));
    await send(socket, frame('stdin'));
  } catch {
    // Reading was cut short because the answer is complete.
  }
}
