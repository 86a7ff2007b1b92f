import { UserError } from '../../model/errors.ts';
import { flushPkt, type Pkt, pkt } from '../../model/pktline.ts';
import type { ClientInput } from '../client.ts';

/** What a client asks in protocol v2, as far as it was read. */
export type Asked =
  | { readonly kind: 'end' }
  /** `text` is the request without what the client says of itself, in packets. */
  | { readonly kind: 'ls-refs'; readonly text: string; readonly bytes: Buffer }
  /** Something for git itself, which is to read these bytes first. */
  | { readonly kind: 'other'; readonly bytes: Buffer };

/** Longer ones are for git: a client that names so many refs asks for no others soon. */
const longestBytes = 4096;

const delim: Pkt['kind'] = 'delim';
const delimPkt = Buffer.from('0001');
/** What changes nothing in the answer. */
const aside = /^(agent=[\x21-\x7e]+|object-format=sha1)$/;
const argument = /^(peel|symrefs|unborn|ref-prefix [\x21-\x7e]+)$/;

/**
 * Reads one request of protocol v2, and no further than it takes to know that it is another one than `ls-refs`.
 *
 * @throws UserError when the client is gone or may no longer be here
 * @see gitprotocol-v2(5), Command Request
 */
export async function readAsked(input: ClientInput): Promise<Asked> {
  const seen: Buffer[] = [];
  const kept: Buffer[] = [];
  let size = 0;
  let inArguments = false;
  const other = (): Asked => ({ kind: 'other', bytes: Buffer.concat(seen) });
  for (;;) {
    const packet = await orBroken(input.packet());
    if (packet === 'broken') return other();
    if (packet === undefined) return seen.length === 0 ? { kind: 'end' } : other();
    const raw = bytesOf(packet);
    seen.push(raw);
    size += raw.length;
    if (packet.kind === 'flush') {
      if (seen.length === 1) return { kind: 'end' };
      const text = Buffer.concat([...kept, flushPkt]).toString('latin1');
      return { kind: 'ls-refs', text, bytes: Buffer.concat(seen) };
    }
    if (size > longestBytes) return other();
    if (packet.kind === delim && seen.length > 1 && !inArguments) {
      inArguments = true;
      kept.push(raw);
      continue;
    }
    if (packet.kind !== 'data') return other();
    const line = packet.payload.toString('latin1').replace(/\n$/, '');
    const isFirst = seen.length === 1;
    const fits = isFirst ? line === 'command=ls-refs' : (inArguments ? argument : aside).test(line);
    if (!fits) return other();
    if (isFirst || inArguments) kept.push(pkt(line));
  }
}

/** Bytes that are no packet stay where they are: git is to say what it thinks of them. @throws as `ClientInput.packet` */
export async function orBroken(packet: Promise<Pkt | undefined>) {
  return packet.catch((error: unknown) => {
    if (error instanceof UserError && error.code === 'usage') return 'broken' as const;
    throw error;
  });
}

/** A packet as it is sent. */
export function bytesOf(packet: Pkt): Buffer {
  if (packet.kind === 'data') return pkt(packet.payload);
  if (packet.kind === 'flush') return flushPkt;
  return packet.kind === 'delim' ? delimPkt : Buffer.from('0002');
}
