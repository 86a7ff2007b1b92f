import type { Socket } from 'node:net';
import type { UserError } from '../../model/errors.ts';
import { messages } from './messages.ts';

/** How long a client may take to read a last word. */
export const lastWordMs = 2000;

/** What a client's terminal shows of a refusal that no command ever saw. */
export function refusalText({ message, hint }: UserError): string {
  return hint === undefined ? `cpm: ${message}\n` : `cpm: ${message}\nhint: ${hint}\n`;
}

/** The same on one line, for where a protocol has room for no more. */
export function refusalLine({ message, hint }: UserError): string {
  return hint === undefined ? `cpm: ${message}` : `cpm: ${message} (${hint})`;
}

/**
 * Tells a client that has said nothing yet why it is not let in: our ident line and a disconnect in the clear, which
 * OpenSSH shows to its user.
 */
export function refuseAtOnce(socket: Socket, why: UserError): void {
  const payload = messages.disconnect('tooManyConnections', refusalLine(why));
  socket.write(Buffer.concat([Buffer.from('SSH-2.0-cpm\r\n'), clearPacket(payload)]));
  endSoftly(socket);
}

/** Ends a socket so that what was written arrives: unread bytes would turn the end into a reset. */
export function endSoftly(socket: Socket): void {
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), lastWordMs);
  socket.once('close', () => clearTimeout(timer));
}

/** A packet before any key exchange. @see RFC 4253, 6 */
function clearPacket(payload: Buffer): Buffer {
  const paddingLength = 8 + ((8 - ((5 + payload.length) % 8)) % 8);
  const header = Buffer.alloc(5);
  header.writeUInt32BE(1 + payload.length + paddingLength);
  header.writeUInt8(paddingLength, 4);
  return Buffer.concat([header, payload, Buffer.alloc(paddingLength)]);
}
