import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import type { Request } from '../../../src/shell/request.ts';
import { writeTo } from '../../../src/transfer/client.ts';
import { clientFiles, makeDoor, outcome, ownerOf, pattern, startSsh } from './house.ts';
import { message, RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana')];
const megabyte = 1024 * 1024;

/** Gives the server back what it sent, a little at a time. */
function granting(client: RawClient, channel: number, step: number): (size: number) => void {
  let owed = 0;
  return (size) => {
    owed += size;
    if (owed < step) return;
    client.send(message(93, channel, owed));
    owed = 0;
  };
}

/** What is reachable, on the heap and in buffers. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

t.test(
  'pitfall 1, stale stdout chunk: a blocked stdout is not sent again when stderr blocks',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0, 70_000);

    const end = client.collect(granting(client, channel, 50_000));
    client.request(channel, 'exec', `bytes ${3 * megabyte} ${5 * megabyte} 3`);
    const { stdout, stderr, status } = await end;
    client.destroy();

    t.equal(stdout.length, 3 * megabyte);
    t.ok(stdout.equals(pattern(0, 3 * megabyte)), 'stdout to the byte');
    t.equal(stderr, pattern(0, 5 * megabyte).toString(), 'stderr to the byte');
    t.equal(status, 3);
  },
);

t.test(
  'pitfall 2, stderr tail: all of it arrives before exit-status, EOF and CLOSE, in this order',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0, 40_000);

    const end = client.collect(granting(client, channel, 30_000));
    client.request(channel, 'exec', `bytes 0 ${5 * megabyte} 7`);
    const { stderr, status, order } = await end;
    client.destroy();

    t.equal(stderr, pattern(0, 5 * megabyte).toString());
    t.equal(status, 7);
    t.same(order, ['success', 'exit-status', 'eof', 'close'], 'each once');
  },
);

t.test('with OpenSSH too, and output that was never read does not hang the end', async (t) => {
  const { port } = await makeDoor(t, owners);
  const key = clientFiles(t, ana);

  const ssh = startSsh(port, key, ['cpm@127.0.0.1', `bytes ${3 * megabyte} ${3 * megabyte} 9`]);
  const result = await outcome(ssh);

  t.equal(result.status, 9);
  t.ok(result.stdout.equals(pattern(0, 3 * megabyte)));
  t.equal(result.stderr, pattern(0, 3 * megabyte).toString());
});

t.test(
  'pitfall 3, TCP back-pressure: a client that grants 2 GB and does not read stalls the writer',
  async (t) => {
    let written = 0;
    let stalled = (): void => undefined;
    const { port } = await makeDoor(t, owners, {
      run: async ({ stdio, signal }: Request) => {
        const chunk = Buffer.alloc(65_536, 1);
        while (!signal.aborted && written < 2 ** 29) {
          written += chunk.length;
          const timer = setTimeout(() => stalled(), 1000);
          await writeTo(stdio.stdout, chunk, signal);
          clearTimeout(timer);
        }
        return 0;
      },
    });
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0, 0x7fff_ffff);
    const before = process.memoryUsage().rss;
    const blocked = new Promise<void>((resolve) => {
      stalled = resolve;
    });

    client.request(channel, 'exec', 'anything');
    client.socket.pause();
    await blocked;
    const grown = process.memoryUsage().rss - before;
    client.destroy();

    // The kernel's own buffers of a loopback connection hold several megabytes.
    t.ok(written < 24 * megabyte, `${written} bytes were taken`);
    t.ok(grown < 40 * megabyte, `${grown} bytes of memory`);
  },
);

t.test('pitfall 4, receive window: more than the window allows ends the connection', async (t) => {
  const { port, events } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  const began = once(events, 'began');
  client.request(channel, 'exec', 'deaf');
  await began;
  const ended = once(events, 'ended');

  for (let sent = 0; sent < 6000 && !client.closed; sent += 1) {
    client.send(message(94, channel, Buffer.alloc(30_000)));
  }

  t.match(await client.end(), /more was sent than the window allows/);
  await ended;
});

t.test('what nobody reads is not granted: a deaf request takes 64 KiB and no more', async (t) => {
  const { port, events } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  const began = once(events, 'began');
  client.request(channel, 'exec', 'deaf');
  await began;

  for (let sent = 0; sent < 65_536; sent += 1024) {
    client.send(message(94, channel, Buffer.alloc(1024)));
    // A round trip each, so that the server's stream has time to ask for more.
    client.send(message(80, 'are you there', true));
    await client.next(82);
  }

  t.notOk(
    client.received.some(([type]) => type === 93),
    'no window was given',
  );
  client.destroy();
});

t.test('200,000 packets of one byte wait in little memory', async (t) => {
  const { port, requests, events } = await makeDoor(t, owners, {
    run: async (request) => {
      requests.push(request);
      // Reads some, so that the full window is open, then never again.
      const { stdin } = request.stdio;
      for (let size = 0; size < 60_000; ) {
        const chunk: Buffer | null = stdin.read();
        if (chunk === null) await once(stdin, 'readable');
        else size += chunk.length;
      }
      events.emit('read');
      if (!request.signal.aborted) await once(request.signal, 'abort');
      return 0;
    },
  });
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  let window = 64 * 1024;
  client.onMessage = (payload) => {
    if (payload[0] === 93) window += payload.readUInt32BE(5);
    return payload[0] === 93;
  };
  client.request(channel, 'exec', 'read once');
  await client.next(99);
  for (const size of [30_000, 30_000]) {
    client.send(message(94, channel, Buffer.alloc(size)));
    window -= size;
  }
  await once(events, 'read');
  client.send(message(80, 'are you there', true));
  await client.next(82);
  const before = heldBytes();
  const packets = Math.min(window, 200_000);

  for (let sent = 0; sent < packets; sent += 1) {
    client.send(message(94, channel, Buffer.of(1)));
    if (sent % 1000 === 0) await new Promise(setImmediate);
  }
  client.send(message(80, 'are you there', true));
  await client.next(82);
  const grown = heldBytes() - before;
  client.destroy();

  t.equal(packets, 200_000, 'so many were allowed');
  t.ok(grown < 8 * megabyte, `${grown} bytes are held`);
});

t.test('two channels of one connection both move while one of them is stalled', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const stalled = await client.open(0, 1000);
  const moving = await client.open(1, 0x7fff_ffff);
  client.request(stalled, 'exec', `bytes ${megabyte} 0`);
  await client.next(99);
  await client.next(94);
  const end = client.collect();

  client.request(moving, 'exec', `bytes ${3 * megabyte} 0`);
  const { stdout, status } = await end;
  client.destroy();

  t.equal(status, 0);
  t.ok(stdout.equals(pattern(0, 3 * megabyte)));
});
