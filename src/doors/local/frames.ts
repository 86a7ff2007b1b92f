/**
 * What passes over the local socket, in both directions: one byte of kind, four of length (big-endian), the payload.
 * The client sends one `request` (JSON), then `stdin` frames, an empty one at the end, and `interrupt`;
 * the server sends `stdout` and `stderr`, and `exit` (the status in decimal) as the last. In place of `request` there is
 * `forced` behind sshd (see doors/forced/asked.ts), `yield` from a server that wants to start where a stand-in is,
 * and `takeover` (the pid in decimal) from one that wants to take this one's place (see heir.ts).
 */
export const kinds = [
  'request',
  'stdin',
  'interrupt',
  'stdout',
  'stderr',
  'exit',
  'forced',
  'yield',
  'takeover',
] as const;
export type Kind = (typeof kinds)[number];

export interface Frame {
  readonly kind: Kind;
  readonly payload: Buffer;
}

/** The words and surroundings of a local request. */
export interface LocalRequest {
  readonly words: readonly string[];
  /** The working directory of the person. */
  readonly directory: string;
  readonly terminal: { readonly columns: number; readonly colour: boolean } | undefined;
}

const headBytes = 5;
export const largestPayload = 1024 * 1024;

export function frame(kind: Kind, payload: Uint8Array | string = ''): Buffer {
  const body = Buffer.from(payload as Uint8Array);
  const head = Buffer.alloc(headBytes);
  head.writeUInt8(kinds.indexOf(kind), 0);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Cuts a byte stream into frames. @throws Error on an unknown kind or a payload over 1 MiB */
export async function* readFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      if (held.length < headBytes) break;
      const kind = kinds[held.readUInt8(0)];
      const length = held.readUInt32BE(1);
      if (kind === undefined || length > largestPayload) throw new Error('not a frame of cpm');
      if (held.length < headBytes + length) break;
      yield { kind, payload: held.subarray(headBytes, headBytes + length) };
      held = held.subarray(headBytes + length);
    }
  }
}
