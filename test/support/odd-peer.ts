import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import ssh2 from 'ssh2';
import type { KeyPair } from './person.ts';

/**
 * Somebody who has a server's place and takes every key, and says of himself what he wants.
 *
 * @param key - that he shows for his host key
 * @param answer - to each question; undefined breaks the conversation off
 * @returns the port
 */
export async function startOddPeer(
  t: { teardown(close: () => unknown): void },
  key: KeyPair,
  answer: () => object | undefined,
): Promise<number> {
  const server = new ssh2.Server({ hostKeys: [readFileSync(key.privatePath)] }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (asked) =>
      asked.method === 'publickey' ? asked.accept() : asked.reject(['publickey']),
    );
    client.on('session', (accept) => {
      accept().on('exec', (take) => {
        const channel = take();
        createInterface({ input: channel }).on('line', () => {
          const ok = answer();
          if (ok === undefined) client.end();
          else channel.write(`${JSON.stringify({ ok })}\n`);
        });
        channel.on('end', () => channel.exit(0) ?? channel.end());
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as { port: number }).port;
}
