import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { clientFiles, makeDoor, outcome, ownerOf, startSsh } from './house.ts';
import { message, RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana')];

/** The test process is the server's: what the server doesn't catch, fails here. */
function watchUncaught(t: Test): string[] {
  const uncaught: string[] = [];
  const note = (error: unknown): void => {
    uncaught.push(String(error));
  };
  process.on('uncaughtExceptionMonitor', note);
  t.teardown(() => process.off('uncaughtExceptionMonitor', note));
  return uncaught;
}

/** Sends bytes and reads until the server ends it, or all was said and nothing comes. */
async function say(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port });
  const answer: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => answer.push(chunk));
  socket.end(bytes);
  await once(socket, 'close');
  return Buffer.concat(answer);
}

/** The server's own KEXINIT packet, to be changed. */
async function kexInit(port: number): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.write('SSH-2.0-probe\r\n');
  let bytes = Buffer.alloc(0);
  while (bytes.length < 100)
    bytes = Buffer.concat([bytes, ((await once(socket, 'data')) as [Buffer])[0]]);
  socket.destroy();
  return bytes.subarray(bytes.indexOf('\n') + 1);
}

function fuzzed(kind: number, ident: Buffer, seed: Buffer): Buffer {
  if (kind === 0) return randomBytes(randomInt(1, 2000));
  if (kind === 1) return Buffer.concat([ident, randomBytes(randomInt(1, 2000))]);
  const changed = Buffer.from(seed);
  for (let count = randomInt(1, 8); count > 0; count -= 1) {
    changed[randomInt(kind === 2 ? 0 : 5, changed.length)] = randomInt(256);
  }
  return Buffer.concat([ident, changed, packet(randomBytes(randomInt(1, 100)), randomInt(20, 50))]);
}

/** A packet in the clear with any content. */
function packet(payload: Buffer, type: number): Buffer {
  const padding = 8 + ((8 - ((6 + payload.length) % 8)) % 8);
  const header = Buffer.alloc(6);
  header.writeUInt32BE(2 + payload.length + padding);
  header[4] = padding;
  header[5] = type;
  return Buffer.concat([header, payload, Buffer.alloc(padding)]);
}

function fuzzedMessage(): Buffer {
  const types = [
    1, 2, 3, 4, 5, 6, 7, 20, 21, 30, 50, 51, 60, 80, 81, 90, 91, 93, 94, 95, 96, 97, 98, 99, 255,
  ];
  const type = types[randomInt(types.length)] ?? 0;
  const words = [
    'session',
    'exec',
    'pty-req',
    'publickey',
    'ssh-connection',
    'cpm',
    'env',
    'signal',
    '',
  ];
  const fields = Array.from({ length: randomInt(0, 6) }, () => {
    switch (randomInt(4)) {
      case 0:
        return words[randomInt(words.length)] ?? '';
      case 1:
        return randomInt(3);
      case 2:
        return randomBytes(randomInt(60));
      default:
        return randomInt(2 ** 32 - 1);
    }
  });
  const whole = message(type, ...fields);
  return randomInt(3) === 0 ? whole.subarray(0, randomInt(1, whole.length + 1)) : whole;
}
t.test(
  'pitfall 8, error listeners: one bad packet ends its connection and nothing else',
  async (t) => {
    const uncaught = watchUncaught(t);
    const { port } = await makeDoor(t, owners);

    await say(port, Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(64, 0xff)]));
    const client = await new RawClient(port).ready();
    client.socket.write(Buffer.alloc(200, 0xff));
    await client.end();

    t.same(uncaught, []);
    t.match(await outcome(startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'show'])), {
      status: 0,
    });
  },
);

t.test('an ident line without an end is cut off', async (t) => {
  const { port } = await makeDoor(t, owners);
  for (const byte of ['\r', 'x', '\n']) {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => undefined);
    socket.resume();
    let sent = 0;
    const more = (): void => {
      while (sent < 2 ** 26 && socket.writable) {
        sent += 65_536;
        if (!socket.write(byte.repeat(65_536))) break;
      }
    };
    socket.on('drain', more);
    more();
    await once(socket, 'close');

    t.ok(sent < 2 ** 25, `${JSON.stringify(byte)}: ${sent} bytes`);
  }
});

t.test('clients that are no SSH clients do no harm', async (t) => {
  const uncaught = watchUncaught(t);
  const { port } = await makeDoor(t, owners);
  const lines = [
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'SSH-1.5-old\r\n',
    'SSH-2.0-\r\n',
    '\u0016\u0003\u0001\u0002',
  ];

  for (const line of lines) {
    t.match((await say(port, Buffer.from(line))).toString('latin1'), /^SSH-2.0-cpm\r\n/);
  }

  t.same(uncaught, []);
});

t.test(
  '500 cases of raw bytes before the key exchange: nothing is uncaught, the server answers',
  async (t) => {
    const uncaught = watchUncaught(t);
    const { port, door, defects } = await makeDoor(t, owners);
    const ident = Buffer.from('SSH-2.0-fuzz\r\n');
    const seed = await kexInit(port);

    for (let count = 0; count < 500; count += 25) {
      const cases = Array.from({ length: 25 }, (_, index) =>
        fuzzed((count + index) % 4, ident, seed),
      );
      await Promise.all(cases.map((bytes) => say(port, bytes)));
    }

    t.same(uncaught, []);
    t.same(defects, []);
    t.match(await outcome(startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'show'])), {
      status: 0,
    });
    t.equal(door.counts().requests, 0);
  },
);

t.test('300 encrypted cases before and 300 after the sign-in: likewise', async (t) => {
  const uncaught = watchUncaught(t);
  const { port, door, defects } = await makeDoor(t, owners, { limits: { idleMs: 3000 } });

  for (const signs of [false, true]) {
    for (let count = 0; count < 100; count += 1) {
      const client = new RawClient(port);
      if (signs) await client.signIn(anaKey);
      else await client.startService();
      if (signs) await client.open(0);
      for (let index = 0; index < 3 && !client.closed; index += 1) client.send(fuzzedMessage());
      client.socket.end();
      await client.end();
    }
  }

  t.same(uncaught, []);
  t.same(defects, []);
  t.match(await outcome(startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'show'])), {
    status: 0,
  });
  while (door.counts().connections > 0) await new Promise(setImmediate);
  t.same(
    door.counts(),
    { connections: 0, unauthenticated: 0, requests: 0 },
    'nothing is left over',
  );
});

t.test(
  'messages that break the protocol after the sign-in end the connection, in words',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    const rows: [Buffer, RegExp][] = [
      [message(94, 77, 'x'), /no such channel/],
      [message(98, 77, 'exec', true, 'x'), /no such channel/],
      [message(93, 0, 0xffff_ffff), /a window grew too large/],
      [Buffer.from([94, 0]), /end too early/],
      [Buffer.concat([message(94, 0), Buffer.from([0xff, 0xff, 0xff, 0xff])]), /end too early/],
    ];
    for (const [bytes, text] of rows) {
      const client = await new RawClient(port).signIn(anaKey);
      await client.open(0);
      client.send(bytes);
      t.match(await client.end(), text);
    }
  },
);

t.test('data after the end of input ends the connection', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);

  client.send(message(96, channel));
  client.send(message(94, channel, 'more'));

  t.match(await client.end(), /data was sent after its end/);
});
