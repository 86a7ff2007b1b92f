import { once } from 'node:events';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import type { Request } from '../../../src/shell/request.ts';
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
          if (stdio.stdout.write(chunk)) continue;
          const timer = setTimeout(() => stalled(), 1000);
          await Promise.race([once(stdio.stdout, 'drain'), once(signal, 'abort')]);
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
  }
  client.send(message(80, 'are you there', true));
  await client.next(82);

  t.notOk(
    client.received.some(([type]) => type === 93),
    'no window was given',
  );
  client.destroy();
});

t.test('a million packets of one byte wait in little memory', async (t) => {
  const { port, requests, events } = await makeDoor(t, owners, {
    run: async (request) => {
      requests.push(request);
      // Reads once, so that the full window is open, then never again.
      await once(request.stdio.stdin, 'readable');
      while (request.stdio.stdin.read() !== null);
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
  global.gc?.();
  const before = process.memoryUsage().rss;
  const packets = Math.min(window, 300_000);

  for (let sent = 0; sent < packets; sent += 1) {
    client.send(message(94, channel, Buffer.of(1)));
    if (sent % 1000 === 0) await new Promise(setImmediate);
  }
  client.send(message(80, 'are you there', true));
  await client.next(82);
  const grown = process.memoryUsage().rss - before;
  client.destroy();

  t.ok(packets > 40_000, `${packets} packets were allowed`);
  t.ok(grown < 60 * megabyte, `${grown} bytes of memory`);
});

t.test("half-close: after the end of a client's input the answer still comes", async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  const end = client.collect();
  client.request(channel, 'exec', 'sh -c "cat; sleep 0.3; echo after"');
  client.send(message(94, channel, 'before\n'));
  client.send(message(96, channel));

  const { stdout, status } = await end;
  client.destroy();

  t.equal(stdout.toString(), 'before\nafter\n');
  t.equal(status, 0);
});

t.test(
  'pitfall 9, writes after the connection died: nobody waits for ever, nothing crashes',
  async (t) => {
    let failed = 0;
    const { port, events, defects } = await makeDoor(t, owners, {
      run: async ({ stdio, signal }) => {
        events.emit('began');
        if (!signal.aborted) await once(signal, 'abort');
        for (const stream of [stdio.stdout, stdio.stderr]) {
          stream.end('last');
          await new Promise<void>((resolve) => {
            stream.write('more', () => {
              failed += 1;
              resolve();
            });
          });
        }
        events.emit('wrote');
        return 0;
      },
    });
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    const began = once(events, 'began');
    client.request(channel, 'exec', 'x');
    await began;
    const wrote = once(events, 'wrote');

    client.destroy();
    await wrote;

    t.equal(failed, 2);
    t.same(defects, []);
  },
);

t.test('a write that waits for window is called back when the client goes', async (t) => {
  const { port, events } = await makeDoor(t, owners, {
    run: async ({ stdio }) => {
      events.emit('began');
      await new Promise<void>((resolve) =>
        stdio.stdout.write(Buffer.alloc(100_000), () => resolve()),
      );
      events.emit('called back');
      return 0;
    },
  });
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0, 10);
  const called = once(events, 'called back');
  client.request(channel, 'exec', 'x');
  await client.next(94);

  client.destroy();

  await called;
  t.pass('the request could end');
});

t.test(
  'pitfall 10, rekey: exchanges that the client begins leave every byte in place',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    const bytes = pattern(0, 20 * megabyte);
    for (const cipher of [
      'aes128-gcm@openssh.com',
      'chacha20-poly1305@openssh.com',
      'aes128-ctr',
    ]) {
      const args = ['-c', cipher, '-o', 'RekeyLimit=2M', 'cpm@127.0.0.1', 'cat'];

      const result = await outcome(startSsh(port, clientFiles(t, ana), args), bytes);

      t.equal(result.status, 0, cipher);
      t.ok(result.stdout.equals(bytes), 'the same bytes');
    }
  },
);

t.test(
  'pitfall 10, rekey: output waits for the end of an exchange, in bounded memory',
  async (t) => {
    let written = 0;
    const { port, events } = await makeDoor(t, owners, {
      run: async ({ stdio, signal }) => {
        while (!signal.aborted && written < 32 * megabyte) {
          written += 65_536;
          if (!stdio.stdout.write(Buffer.alloc(65_536))) {
            await Promise.race([once(stdio.stdout, 'drain'), once(signal, 'abort')]);
          }
        }
        events.emit('ended');
        return 0;
      },
      limits: { loginGraceMs: 1500 },
    });
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0, 0x7fff_ffff);
    const ended = once(events, 'ended');
    const early = once(client.socket, 'close');
    // A key exchange that the client begins and never goes on with.
    client.protocol.rekey();
    Object.assign(client.protocol, { _onPayload: () => undefined });

    client.request(channel, 'exec', 'x');
    await early;
    await ended;

    t.ok(written < 2 * megabyte, `${written} bytes were taken`);
  },
);

t.test('pitfall 10, rekey: too many for too little are refused', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  let exchanges = 0;
  const again = (): void => {
    exchanges += 1;
    if (exchanges < 100 && !client.closed) client.protocol.rekey();
  };
  client.onReady = again;

  client.protocol.rekey();

  t.match(await client.end(), /too many key exchanges/);
  t.ok(exchanges <= 12, `${exchanges} were done`);
});

t.test('the server begins an exchange after its share of bytes, and no byte is lost', async (t) => {
  const { port } = await makeDoor(t, owners, { rekeyBytes: 4 * megabyte });
  const bytes = pattern(0, 24 * megabyte);

  const ssh = startSsh(port, clientFiles(t, ana), ['-v', 'cpm@127.0.0.1', 'cat'], 'DEBUG1');
  const result = await outcome(ssh, bytes);

  t.ok(result.stdout.equals(bytes), 'the same bytes');
  const exchanges = result.stderr.match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
  t.ok(exchanges > 5, `${exchanges} exchanges`);
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

t.test(
  'who is refused while sending gets the reason, and the channel is closed after a moment',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    client.send(message(94, channel, Buffer.alloc(30_000)));
    const end = client.collect();

    client.request(channel, 'exec', 'refuse');
    const { stderr, status, order } = await end;
    client.destroy();

    t.equal(stderr, 'refused\n');
    t.equal(status, 4);
    t.same(order, ['success', 'exit-status', 'eof', 'close']);
  },
);

t.test('a signal of the client ends the request, with the status of that signal', async (t) => {
  const { port, events } = await makeDoor(t, owners);
  for (const [name, expected] of [
    ['INT', 130],
    ['TERM', 143],
  ] as const) {
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    const end = client.collect();
    const began = once(events, 'began');
    client.request(channel, 'exec', 'sleep 60');
    await began;

    client.request(channel, 'signal', name);
    const { status } = await end;
    client.destroy();

    t.equal(status, expected, name);
  }
});

t.test('pitfall 18, orphans: a client killed outright leaves no process', async (t) => {
  const { port } = await makeDoor(t, owners);
  const ssh = startSsh(port, clientFiles(t, ana), [
    'cpm@127.0.0.1',
    'sh -c "echo $$; exec sleep 61"',
  ]);
  const [line] = (await once(ssh.stdout ?? ssh, 'data')) as [Buffer];
  const pid = Number(line.toString());

  ssh.kill('SIGKILL');

  await until(() => !alive(pid));
  t.pass('it is gone');
});

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}
