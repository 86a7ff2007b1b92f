import type { Readable, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { execa } from 'execa';

/** How a child process ended: exactly one of the two is set. */
export interface Exit {
  readonly status: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

/** What to start. `env` is the child's whole environment; nothing of ours is added. */
export interface Start {
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Opens two pipes more, the child's file descriptors 3 and 4, which its own children inherit. */
  readonly talks?: boolean | undefined;
  /**
   * It is gone when its whole group is, which has five seconds more than itself to end: for a program whose own
   * children hold what must not be lost, as the one of rsync that writes. The rest of any other's group is killed.
   */
  readonly hasHeirs?: boolean | undefined;
  /** Hears how it ended, whoever else asks. */
  readonly onExit?: ((exit: Exit) => void) | undefined;
}

/** The two pipes: what the child says on 3, and hears on 4. */
export interface Talking {
  readonly said: Readable;
  readonly heard: Writable;
}

/**
 * A running child with its own process group. Its output streams must be read from the same turn on: what nobody has
 * begun to read by then is dropped, so that no child hangs on a pipe that nobody looks at. `keepUnread` has it wait.
 */
export interface Program {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** There where it was asked for. */
  readonly talk?: Talking | undefined;
  /** Settles when the process is gone, whatever its status; its output may still be unread. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Ends the whole process group: SIGTERM, and SIGKILL after five seconds. Does nothing once the child is gone. */
  end(): void;
}

const killAfterMs = 5000;

/**
 * Starts a child without a shell, without buffering, in a process group of its own.
 *
 * @throws Error when the program or the directory is missing, or no process can be made
 */
export function start({ argv, cwd, env, talks = false, hasHeirs = false, onExit }: Start): Program {
  const [file, ...args] = argv;
  const child = execa(file, args, {
    cwd,
    env,
    extendEnv: false,
    detached: true,
    cleanup: false,
    buffer: false,
    reject: false,
    stdio: ['pipe', 'pipe', 'pipe', ...(talks ? (['pipe', 'pipe'] as const) : [])],
    stripFinalNewline: false,
    encoding: 'buffer',
  });
  // The events below say all; execa's own promise waits for streams that nobody may want to read.
  child.catch(() => undefined);
  const { pid, stdin, stdout, stderr } = child as Streams;
  if (pid === undefined) throw new Error(`${file} can't be started in ${cwd}`);
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (status, signal) => {
      const exit = { status: status ?? undefined, signal: signal ?? undefined };
      onExit?.(exit);
      resolve(hasHeirs ? groupEnd(pid).then(() => exit) : exit);
    });
  });
  // A child that closes its input early is no fault of ours: EPIPE arrives here, the exit status tells the story.
  stdin.on('error', () => undefined);
  const talk = talks ? talkOf(child.stdio) : undefined;
  return { pid, stdin, stdout, stderr, talk, exited, end: ender(pid, exited) };
}

/** What execa's types don't know of a child whose number of pipes is found at run time. */
interface Streams {
  readonly pid: number | undefined;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/** Node makes each of them a socket, readable and writable. */
function talkOf(stdio: readonly unknown[]): Talking {
  const said = stdio[3] as Readable;
  const heard = stdio[4] as Writable;
  // As with stdin: a child that is gone hears nothing, and its exit tells.
  said.on('error', () => undefined);
  heard.on('error', () => undefined);
  return { said, heard };
}

function ender(pid: number, exited: Promise<Exit>): () => void {
  let gone = false;
  let timer: NodeJS.Timeout | undefined;
  void exited.then(() => {
    gone = true;
    if (timer === undefined) return;
    clearTimeout(timer);
    // The leader is gone; what is left of its group is not to outlive it.
    signalGroup(pid, 'SIGKILL');
  });
  return () => {
    // After the exit the number may belong to somebody else.
    if (gone || timer !== undefined) return;
    signalGroup(pid, 'SIGTERM');
    timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), killAfterMs);
  };
}

/** Waits for what is left of a group whose leader is gone; kills what is still there after five seconds. */
async function groupEnd(pid: number): Promise<void> {
  const deadline = performance.now() + killAfterMs;
  // They mostly end together.
  for (let pauseMs = 1; signalGroup(pid, 0); pauseMs = Math.min(10, 2 * pauseMs)) {
    if (performance.now() > deadline) {
      signalGroup(pid, 'SIGKILL');
      return;
    }
    await wait(pauseMs);
  }
}

/** @returns false when the whole group is gone already */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

/** A short command that has ended. */
export interface Collected extends Exit {
  readonly stdout: Buffer;
  /** The first 64 KiB of it. */
  readonly stderr: string;
}

export interface CollectOptions {
  readonly input?: string | Uint8Array;
  /** Longest stdout in bytes; 16 MiB unless told. */
  readonly maxBytes?: number;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A short command that was not short. */
export class TooMuchOutput extends Error {}

const stderrBytes = 64 * 1024;

/**
 * Runs a short command to its end and keeps what it wrote. A non-zero status is an answer, not an error.
 *
 * @throws TooMuchOutput when it writes more than `maxBytes`; Error when it takes longer than `timeoutMs`; the signal's
 *   reason on abort
 */
export async function collect(command: Start, options: CollectOptions = {}): Promise<Collected> {
  const { input = '', maxBytes = 16 * 1024 * 1024, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const child = start(command);
  let failure: unknown;
  const fail = (cause: unknown): void => {
    failure ??= cause;
    child.end();
  };
  const name = command.argv.slice(0, 2).join(' ');
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => fail(new Error(`${name} took longer than ${timeoutMs} ms`)), timeoutMs);
  const onAbort = (): void => fail(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    child.stdin.end(input);
    const [exit, stdout, stderr] = await Promise.all([
      child.exited,
      readUpTo(child.stdout, maxBytes, () => {
        fail(new TooMuchOutput(`${name} wrote more than ${maxBytes} bytes`));
      }),
      readUpTo(child.stderr, stderrBytes, () => undefined),
    ]);
    if (failure !== undefined) throw failure;
    return { ...exit, stdout, stderr: stderr.toString() };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Has a stream wait for its reader, also when its child is gone: to be asked in the turn in which the child starts. */
export function keepUnread(stream: Readable): void {
  // Neither Node, at a child's end, nor execa sets a stream flowing that somebody listens to like this.
  stream.on('readable', () => undefined);
}

/**
 * Writes to a child's input and waits while its pipe is full.
 *
 * @returns false when the child no longer reads
 */
export async function send({ stdin }: Program, chunk: string | Uint8Array): Promise<boolean> {
  if (!stdin.writable) return false;
  if (stdin.write(chunk)) return true;
  return new Promise((resolve) => {
    const settle = (): void => {
      stdin.off('drain', settle).off('close', settle).off('error', settle);
      resolve(stdin.writable);
    };
    stdin.on('drain', settle).on('close', settle).on('error', settle);
  });
}

/** Reads a stream to its end, keeping at most `maxBytes` of it; a torn stream counts as ended. */
async function readUpTo(stream: Readable, maxBytes: number, onMore: () => void): Promise<Buffer> {
  const kept: Buffer[] = [];
  let size = 0;
  await new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      if (size + chunk.length > maxBytes) onMore();
      if (size < maxBytes) kept.push(chunk.subarray(0, maxBytes - size));
      size += chunk.length;
    });
    stream.once('close', resolve);
    stream.once('error', () => resolve());
  });
  return Buffer.concat(kept);
}
