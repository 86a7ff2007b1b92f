import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { type Exit, type Program, send } from '../programs/run.ts';
import { type ClientInput, clientInput, endReason, writeTo } from './client.ts';
import type { Talk } from './transfer.ts';

/**
 * Runs a git program whose streams are the client's, until it ends; a client's end of input is passed on, and a
 * client that is gone ends it.
 *
 * @param first - bytes for the program before what the client sends; the client's own input is then not read
 * @returns git's exit status; 128 + n when signal n ended it
 * @throws UserError when the client is gone or may no longer be here
 */
export async function pass(talk: Talk, args: readonly string[], first?: Buffer): Promise<number> {
  const { git, directory, protocol, signal, stdio } = talk;
  if (signal.aborted) throw endReason(signal);
  const child = git.start(args, { cwd: directory, protocol });
  const how = first === undefined ? {} : { input: only(first) };
  return statusOf(await passStreams(child, { stdio, signal, directory }, how));
}

/** What of a talk the passing of streams needs. */
export type Streams = Pick<Talk, 'stdio' | 'signal' | 'directory'>;

/** What is passed otherwise than as it comes. */
export interface Passed {
  /** What the program is told; what the client sends unless told. */
  readonly input?: Pick<ClientInput, 'chunk'> | undefined;
  /** What the client gets of each piece that the program writes. */
  readonly output?: ((chunk: Buffer) => Buffer) | undefined;
}

/** @see pass */
export async function passStreams(
  child: Program,
  streams: Streams,
  { input = clientInput(streams.stdio.stdin, streams.signal), output }: Passed = {},
): Promise<Exit> {
  const { stdio, signal } = streams;
  const onAbort = (): void => child.end();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const ended = Promise.all([
      child.exited,
      copy(child, stdio.stdout, { ...streams, output }),
      copyErrors(child, stdio.stderr, streams),
    ]);
    // Not awaited: a client may keep its side open long after the program has said all.
    void feed(child, input).catch(() => child.end());
    const [exit] = await ended;
    if (signal.aborted) throw endReason(signal);
    return exit;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function feed(child: Program, input: Pick<ClientInput, 'chunk'>): Promise<void> {
  for (;;) {
    const chunk = await input.chunk();
    if (chunk === undefined) break;
    if (!(await send(child, chunk))) return;
  }
  child.stdin.end();
}

function only(bytes: Buffer): Pick<ClientInput, 'chunk'> {
  let left: Buffer | undefined = bytes;
  return {
    async chunk() {
      const next = left;
      left = undefined;
      return next;
    },
  };
}

/** A program whose output nobody takes any more is ended: it would work for nothing. */
async function copy(
  child: Program,
  to: Writable,
  { signal, output = (chunk) => chunk }: Streams & Pick<Passed, 'output'>,
): Promise<void> {
  try {
    for await (const chunk of child.stdout) {
      await writeTo(to, output(chunk), signal);
      if (!to.writable) child.end();
    }
  } catch {
    // The pipe of a program that was killed: its exit tells.
  }
}

async function copyErrors(child: Program, to: Writable, talk: Streams): Promise<void> {
  try {
    for await (const chunk of child.stderr) {
      await writeTo(to, withoutPath(chunk, talk.directory), talk.signal);
    }
  } catch {
    // As above.
  }
}

/** Where a repository lies on the server is no client's business. */
export function withoutPath(text: Buffer, directory: string): Buffer {
  if (!text.includes(directory)) return text;
  return Buffer.from(text.toString('latin1').replaceAll(directory, '.'), 'latin1');
}

/** How a shell would tell an exit. */
export function statusOf({ status, signal }: Exit): number {
  if (status !== undefined) return status;
  return 128 + (signal === undefined ? 0 : (constants.signals[signal] ?? 0));
}
