import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { WireReader } from '../../../src/model/sshwire.ts';
import { clientFiles, makeDoor, outcome, ownerOf, startSsh } from './house.ts';
import { message, RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const bo = generateEd25519('bo');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana'), ownerOf(bo.publicKey, 'bo')];

/** A connection that says nothing. */
async function silent(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  await once(socket, 'data');
  return socket;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}

/** The server counts a closed connection when it learns of it, a moment later. */
async function retry(port: number, key: string): ReturnType<typeof outcome> {
  for (let count = 0; ; count += 1) {
    const result = await outcome(startSsh(port, key, ['cpm@127.0.0.1', 'show']));
    if (result.status === 0 || count === 20) return result;
  }
}
t.test(
  'pitfall 5, login grace: it runs from accept, for the silent and for the talkative',
  async (t) => {
    const { port, door } = await makeDoor(t, owners, { limits: { loginGraceMs: 400 } });
    const began = Date.now();
    const mute = connect({ host: '127.0.0.1', port });
    const chunks: Buffer[] = [];
    mute.on('data', (chunk) => chunks.push(chunk));
    const waiting = new RawClient(port);
    await waiting.startService();

    const [text] = await Promise.all([waiting.end(), once(mute, 'close')]);

    t.ok(Date.now() - began >= 390 && Date.now() - began < 3000, 'after the grace');
    t.match(text, /^cpm: nobody signed in within 0.4 s/);
    t.match(
      Buffer.concat(chunks).toString('latin1'),
      /SSH-2.0-cpm\r\n.*nobody signed in within 0.4 s/s,
    );
    await until(() => door.counts().connections === 0);
    t.equal(door.counts().unauthenticated, 0);
  },
);

t.test(
  'unauthenticated: one more is told, in words that OpenSSH shows, and those inside go on',
  async (t) => {
    const { port, door } = await makeDoor(t, owners, { limits: { unauthenticated: 2 } });
    const held = [await silent(port), await silent(port)];

    const refused = await outcome(startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'show']));
    t.match(refused, {
      status: 255,
      stderr: /cpm: 2 connections are signing in, which is the limit/,
    });
    t.equal(door.counts().unauthenticated, 2);
    for (const socket of held) socket.destroy();
    await Promise.all(held.map((socket) => once(socket, 'close')));

    t.match(await retry(port, clientFiles(t, ana)), { status: 0 }, 'and there is room again');
  },
);

t.test('unauthenticated_per_address: one address alone can not fill the door', async (t) => {
  const { port } = await makeDoor(t, owners, { limits: { unauthenticatedPerAddress: 1 } });
  const held = await silent(port);

  const refused = new RawClient(port);
  t.match(await refused.end(), /^cpm: 1 connections from your address are signing in/);
  held.destroy();
});

t.test('connections: all together', async (t) => {
  const { port } = await makeDoor(t, owners, { limits: { connections: 1 } });
  const client = await new RawClient(port).signIn(anaKey);

  const refused = await outcome(startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'show']));

  t.match(refused, {
    status: 255,
    stderr: /cpm: all 1 connections of this server are in use \(try/,
  });
  client.destroy();
});

t.test('connections_per_user: one more signs in, is told why, and gets status 6', async (t) => {
  const { port } = await makeDoor(t, owners, { limits: { connectionsPerUser: 1 } });
  const first = await new RawClient(port).signIn(anaKey);
  const key = clientFiles(t, ana);

  const refused = await outcome(startSsh(port, key, ['cpm@127.0.0.1', 'show']));
  const other = await outcome(startSsh(port, clientFiles(t, bo), ['cpm@127.0.0.1', 'show']));

  t.match(refused, { status: 6, stderr: 'cpm: 1 connections of yours are open\nhint: close some' });
  t.match(other, { status: 0 }, 'another user is not concerned');
  first.destroy();
  t.match(await retry(port, key), { status: 0 });
});

t.test('connections_per_user: far above it nobody is let in at all', async (t) => {
  const { port } = await makeDoor(t, owners, { limits: { connectionsPerUser: 1 } });
  const clients = [
    await new RawClient(port).signIn(anaKey),
    await new RawClient(port).signIn(anaKey),
  ];

  const third = new RawClient(port);
  await third.startService();
  third.offer({ ...anaKey, algorithm: 'ssh-ed25519' });

  t.match(await third.end(), /^cpm: 1 connections of yours are open/);
  for (const client of clients) client.destroy();
});

t.test(
  'pitfall 7, channels: one more is opened to say so, with status 6; thousands are not',
  async (t) => {
    const { port, requests } = await makeDoor(t, owners, { limits: { channels: 2 } });
    const client = await new RawClient(port).signIn(anaKey);
    for (const local of [0, 1]) client.request(await client.open(local), 'exec', 'deaf');
    await client.next(99);
    await client.next(99);
    const third = await client.open(2);
    const end = client.collect();

    client.request(third, 'exec', 'show');
    const { stderr, status } = await end;

    t.equal(status, 6);
    t.match(stderr, /^cpm: 2 channels of this connection are in use\nhint: /);
    t.equal(requests.length, 2);
    for (let local = 10; local < 3000; local += 1) {
      client.send(message(90, 'session', local, 1000, 1000));
    }
    client.send(message(80, 'are you there', true));
    client.onMessage = undefined;
    await client.next(82);
    const refusals = client.received.filter(([type]) => type === 92);
    t.ok(refusals.length > 2900, `${refusals.length} were refused`);
    const reader = new WireReader(refusals[0] ?? Buffer.alloc(0), 5);
    t.equal(reader.uint32(), 4, 'as a shortage');
    t.match(reader.string().toString(), /^cpm: 2 channels/);
    client.destroy();
  },
);

t.test('channels: closed ones count until their request has ended', async (t) => {
  const stuck: (() => void)[] = [];
  const { port } = await makeDoor(t, owners, {
    limits: { channels: 2 },
    run: async ({ words }) => {
      if (words[0] === 'stuck') await new Promise<void>((resolve) => stuck.push(resolve));
      return 0;
    },
  });
  const client = await new RawClient(port).signIn(anaKey);
  for (const local of [0, 1]) {
    const channel = await client.open(local);
    client.request(channel, 'exec', 'stuck');
    await client.next(99);
    client.send(message(97, channel));
    await client.next(97);
  }

  const full = client.collect();
  client.send(message(90, 'session', 2, 2 ** 21, 32_768));
  const opened = new WireReader(await client.next(91), 5).uint32();
  client.request(opened, 'exec', 'show');
  t.match(await full, { status: 6 });
  for (const release of stuck) release();

  const free = client.collect();
  client.send(message(97, opened));
  const next = await client.open(3);
  client.request(next, 'exec', 'show');
  t.match(await free, { status: 0 });
  client.destroy();
});
