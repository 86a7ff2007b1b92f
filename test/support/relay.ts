import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** What a way does to what passes; all of it may be changed at any time. */
export interface Weather {
  /** So long each piece is on its way, in milliseconds. */
  delayMs: number;
  /** Bytes a second, of each connection and direction. */
  bytesPerSecond: number;
  /** A connection breaks off after so many bytes, both ways together. */
  breaksAfter: number;
  /** Nobody answers: each connection is ended at once. */
  isDown: boolean;
}

/** A way to a server on this machine that counts what passes, both ways, and how many connections. */
export interface Relay {
  readonly port: number;
  /** So far; bytes are those of the TCP connections. */
  readonly passed: { bytes: number; connections: number };
  readonly weather: Weather;
  /** Breaks off every connection that there is. */
  cut(): void;
  close(): Promise<void>;
}

export async function startRelay(port: number): Promise<Relay> {
  const passed = { bytes: 0, connections: 0 };
  const weather: Weather = {
    ...{ delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY },
    ...{ breaksAfter: Number.POSITIVE_INFINITY, isDown: false },
  };
  const open = new Set<Socket>();
  const server = createServer((near) => {
    near.on('error', () => undefined);
    if (weather.isDown) {
      near.destroy();
      return;
    }
    passed.connections += 1;
    const far = connect({ host: '127.0.0.1', port, noDelay: true });
    near.setNoDelay(true);
    const counted = { bytes: 0 };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('close', () => open.delete(from));
      from.on('error', () => to.destroy());
      void carry(from, to, (bytes) => {
        passed.bytes += bytes;
        counted.bytes += bytes;
        return counted.bytes <= weather.breaksAfter;
      });
    }
  });
  const carry = async (from: Socket, to: Socket, count: (bytes: number) => boolean) => {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        const pauseMs = weather.delayMs + (1000 * chunk.length) / weather.bytesPerSecond;
        if (pauseMs > 0) await wait(pauseMs);
        if (!count(chunk.length)) break;
        if (!to.write(chunk)) await writable(to);
      }
      if (from.readableEnded) to.end();
      else to.destroy();
    } catch {
      // Either end broke it off; so does the other.
      to.destroy();
    }
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  return {
    port: address.port,
    passed,
    weather,
    cut,
    close: async () => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

/** Waits until a socket takes more, or is gone. */
function writable(to: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      to.off('drain', settle).off('close', settle);
      resolve();
    };
    to.on('drain', settle).on('close', settle);
    if (to.destroyed) settle();
  });
}
