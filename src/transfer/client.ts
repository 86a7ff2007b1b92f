import type { Readable, Writable } from 'node:stream';
import { UserError } from '../model/errors.ts';
import { type Pkt, readPkt } from '../model/pktline.ts';

/** What a client sends, read packet by packet, then as it comes. */
export interface ClientInput {
  /**
   * @returns undefined at the end of the stream
   * @throws UserError `usage` when the bytes are no packet or end within one; else as `chunk`
   */
  packet(): Promise<Pkt | undefined>;
  /**
   * @returns the next bytes, undefined at the end of the stream
   * @throws UserError when the client is gone or may no longer be here
   */
  chunk(): Promise<Buffer | undefined>;
}

/** Nobody is at the other end any more: there is nothing to answer and no fault to look for. */
export class ClientGone extends UserError {
  constructor(cause: unknown) {
    super('unavailable', 'the client went away before the end', { cause });
    this.name = 'ClientGone';
  }
}

/** The stream is paused whenever nobody asks: what a client sends meanwhile waits at the client. */
export function clientInput(stdin: Readable, signal: AbortSignal): ClientInput {
  const chunks: AsyncIterator<Buffer> = stdin.iterator({ destroyOnReturn: false });
  let pending: Promise<IteratorResult<Buffer>> | undefined;
  let rest: Buffer = Buffer.alloc(0);

  const next = async (): Promise<Buffer | undefined> => {
    pending ??= chunks.next();
    const step = await orAbort(pending, signal);
    pending = undefined;
    return step.done === true ? undefined : step.value;
  };
  return {
    async packet() {
      for (;;) {
        const read = readPkt(rest);
        if (read !== undefined) {
          rest = rest.subarray(read.next);
          return read.pkt;
        }
        const chunk = await next();
        if (chunk === undefined && rest.length === 0) return undefined;
        if (chunk === undefined) throw new UserError('usage', 'the stream ends within a packet');
        rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      }
    },
    async chunk() {
      if (rest.length === 0) return next();
      const first = rest;
      rest = Buffer.alloc(0);
      return first;
    },
  };
}

/** Why a talk ends early: the reason that the door gave, or that nobody listens any more. */
export function endReason(signal: AbortSignal): UserError {
  if (signal.reason instanceof UserError) return signal.reason;
  return new ClientGone(signal.reason);
}

async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Where it is not waited for, its failure is nobody's: without this it would end the whole server.
  promise.catch(() => undefined);
  if (signal.aborted) throw endReason(signal);
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(endReason(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    promise
      .then(resolve, (cause) => reject(new ClientGone(cause)))
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * Writes to a client and waits while it doesn't read. To a client that is gone nothing is written, which is no
 * error: a stream that broke off may never call back.
 */
export async function writeTo(
  stream: Writable,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  if (bytes.length === 0 || signal.aborted || !stream.writable) return;
  if (stream.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle).off('close', settle).off('error', settle);
      signal.removeEventListener('abort', settle);
      resolve();
    };
    stream.on('drain', settle).on('close', settle).on('error', settle);
    signal.addEventListener('abort', settle, { once: true });
  });
}

/** Writes a last word, also to a client whose talk was ended for it; it is not waited for then. */
export async function writeLast(
  stream: Writable,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  if (!signal.aborted) await writeTo(stream, bytes, signal);
  else if (stream.writable) stream.write(bytes);
}
