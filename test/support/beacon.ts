import { once } from 'node:events';
import { connect } from 'node:net';
import type { House } from './house.ts';

/** The configuration of a house that listens for neighbors, on a free port of the loopback. */
export const beaconConfig = 'neighbors:\n  listen: 127.0.0.1:0\n';

/** The port that a house told at its start. */
export function beaconPort(house: House): number {
  const port = /^listening on git:\/\/127\.0\.0\.1:(\d+)$/m.exec(house.stdout)?.[1];
  if (port === undefined) throw new Error(`no beacon in: ${house.stdout}`);
  return Number(port);
}

/** Sends bytes and ends, as a client that says all at once. @returns all that the server says before it ends too */
export async function tell(
  port: number,
  bytes: Uint8Array | string,
  { half = true, host = '127.0.0.1' }: { half?: boolean; host?: string } = {},
): Promise<Buffer> {
  const socket = connect({ port, host, allowHalfOpen: true });
  const said: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => said.push(chunk));
  socket.on('error', () => undefined);
  if (half) socket.end(bytes);
  else socket.write(bytes);
  socket.once('end', () => socket.end());
  const late = setTimeout(() => socket.destroy(), 30_000);
  await once(socket, 'close');
  clearTimeout(late);
  return Buffer.concat(said);
}
