import { readFileSync } from 'node:fs';
import { type ChannelEnd, message, RawClient } from '../doors/ssh/raw-client.ts';
import type { House } from './house.ts';
import type { KeyPair, Person } from './person.ts';

/** The bytes of a public key. */
export function blobOf({ line }: KeyPair): Buffer {
  return Buffer.from(line.split(' ')[1] ?? '', 'base64');
}

/** A client that sends whatever a test wants, signed in as a person. */
export function signIn(house: House, { key }: Person): Promise<RawClient> {
  const privateKey = readFileSync(key.privatePath, 'utf8');
  return new RawClient(house.port).signIn({ privateKey, blob: blobOf(key) });
}

/**
 * Asks for one command in a session of its own.
 *
 * @param command - its bytes are sent as they are
 * @param input - what the command reads, then its end; without it the input stays open
 */
export async function exec(
  client: RawClient,
  command: string | Buffer,
  input?: Buffer,
): Promise<ChannelEnd> {
  const channel = await client.open(0);
  const end = client.collect();
  client.request(channel, 'exec', command);
  if (input !== undefined) {
    client.send(message(94, channel, input));
    client.send(message(96, channel));
  }
  const ended = await end;
  // The channel's number is free again once both sides have closed it.
  if (!client.closed) client.send(message(97, channel));
  return ended;
}
