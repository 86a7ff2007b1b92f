import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** A way to a server on this machine that counts what passes, both ways, and how many connections. */
export interface Relay {
  readonly port: number;
  /** So far; bytes are those of the TCP connections. */
  readonly passed: { bytes: number; connections: number };
  close(): Promise<void>;
}

export async function startRelay(port: number): Promise<Relay> {
  const passed = { bytes: 0, connections: 0 };
  const server = createServer((near) => {
    passed.connections += 1;
    const far = connect({ host: '127.0.0.1', port, noDelay: true });
    near.setNoDelay(true);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk: Buffer) => {
        passed.bytes += chunk.length;
      });
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    passed,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
