import { UserError } from './errors.ts';

/** One packet of git's pkt-line format. */
export type Pkt =
  | { readonly kind: 'data'; readonly payload: Buffer }
  | { readonly kind: 'flush' | 'delim' | 'response-end' };

/** The longest payload: 65520 bytes with the four length digits. */
export const longestPayload = 65516;

/** The longest text in one side-band-64k packet. */
export const longestBand = longestPayload - 1;

export const flushPkt: Buffer = Buffer.from('0000');

/**
 * Reads the packet that begins at `offset`, strictly.
 *
 * @returns the packet and where the next one begins; undefined when more bytes are needed
 * @throws UserError `usage` when the length is no length
 * @see gitprotocol-common(5), pkt-line Format
 */
export function readPkt(bytes: Buffer, offset = 0): { pkt: Pkt; next: number } | undefined {
  const have = Math.min(bytes.length - offset, 4);
  let length = 0;
  for (let at = offset; at < offset + have; at++) length = length * 16 + digit(bytes, at);
  if (have < 4) return undefined;
  const body = offset + 4;
  if (length === 0) return { pkt: { kind: 'flush' }, next: body };
  if (length === 1) return { pkt: { kind: 'delim' }, next: body };
  if (length === 2) return { pkt: { kind: 'response-end' }, next: body };
  if (length === 3) throw broken('"0003" is the length of no packet');
  if (length - 4 > longestPayload)
    throw broken(`a packet of ${length} bytes; 65520 is the longest`);
  const next = offset + length;
  if (next > bytes.length) return undefined;
  return { pkt: { kind: 'data', payload: bytes.subarray(body, next) }, next };
}

/** @throws UserError `usage` on anything but a hex digit */
function digit(bytes: Buffer, at: number): number {
  const code = bytes[at] ?? 0;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  if (lower >= 0x61 && lower <= 0x66) return lower - 0x57;
  throw broken(`byte 0x${code.toString(16).padStart(2, '0')} where a packet's length belongs`);
}

function broken(why: string): UserError {
  return new UserError('usage', `git protocol error: ${why}`, {
    hint: 'is the client a git client? its stream was not understood',
  });
}

/** One data packet. @throws RangeError when the payload is longer than a packet */
export function pkt(payload: string | Uint8Array): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  if (body.length > longestPayload) throw new RangeError(`${body.length} bytes fit no packet`);
  const length = (body.length + 4).toString(16).padStart(4, '0');
  return Buffer.concat([Buffer.from(length), body]);
}

/**
 * Bytes as side-band-64k packets.
 *
 * @param band - 1 for data, 2 for progress, 3 for a fatal error
 */
export function sideband(band: 1 | 2 | 3, bytes: Uint8Array): Buffer {
  const packets: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += longestBand) {
    packets.push(pkt(Buffer.concat([Buffer.of(band), bytes.subarray(at, at + longestBand)])));
  }
  return Buffer.concat(packets);
}
