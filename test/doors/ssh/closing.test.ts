import { once } from 'node:events';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { UserError } from '../../../src/model/errors.ts';
import { fingerprint } from '../../../src/model/sshkey.ts';
import { clientFiles, makeDoor, outcome, ownerOf, startSsh } from './house.ts';
import { message, RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const bo = generateEd25519('bo');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const boKey = { privateKey: bo.privateKey, blob: bo.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana'), ownerOf(bo.publicKey, 'bo')];

t.test('idle: open channels are told, get status 6, and the connection ends', async (t) => {
  const { port } = await makeDoor(t, owners, { limits: { idleMs: 600 } });

  const result = await outcome(
    startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'deaf']),
    '',
    'open',
  );

  t.match(result, { status: 6, stderr: 'cpm: nothing was sent for 0.6 s\nhint: connect again\n' });
});

t.test('idle: a connection without channels ends too, whatever keepalives it sends', async (t) => {
  const { port } = await makeDoor(t, owners, { limits: { idleMs: 600 } });
  const client = await new RawClient(port).signIn(anaKey);
  const timer = setInterval(() => {
    if (!client.closed) client.send(message(80, 'keepalive@openssh.com', true));
  }, 50);

  t.match(await client.end(), /^cpm: nothing was sent for 0.6 s/);
  clearInterval(timer);
});

t.test('idle: bytes in either direction put it off', async (t) => {
  const { port } = await makeDoor(t, owners, { limits: { idleMs: 700 } });
  const script = 'sh -c "for i in 1 2 3 4 5 6; do sleep 0.3; echo $i; done"';

  const result = await outcome(startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', script]));

  t.match(result, { status: 0 });
  t.equal(result.stdout.toString(), '1\n2\n3\n4\n5\n6\n');
});

t.test('keepalive: a peer that no longer answers is found and its requests end', async (t) => {
  const { port, events } = await makeDoor(t, owners, { keepaliveMs: 60 });
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  client.request(channel, 'exec', 'deaf');
  await client.next(99);
  const ended = once(events, 'ended');
  const seen = client.next(80);

  await seen;
  await ended;

  t.pass('it was asked, and cut off in the end');
});

t.test('keepalive: a peer that answers stays', async (t) => {
  const { port } = await makeDoor(t, owners, { keepaliveMs: 60 });

  const result = await outcome(startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'sleep 1.5']));

  t.match(result, { status: 0 });
});

t.test('a key with an end: what it has open is told the day, and closed', async (t) => {
  const endsAt = Date.now() + 900;
  const ending = [ownerOf(ana.publicKey, 'ana', { endsAt })];
  const { port } = await makeDoor(t, ending);
  const key = clientFiles(t, ana);

  const result = await outcome(startSsh(port, key, ['cpm@127.0.0.1', 'deaf']), '', 'open');

  const day = new Date(endsAt).toISOString().slice(0, 10);
  t.equal(result.stderr, `cpm: key ${fingerprint(ana.publicKey.blob)} ended on ${day}\n`);
  t.equal(result.status, 4);
  t.ok(Date.now() >= endsAt && Date.now() < endsAt + 2000);
});

t.test(
  'endWhere closes what matches within a second, a deaf request and a stalled client too',
  async (t) => {
    const { port, door, events } = await makeDoor(t, owners);
    const ssh = startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'deaf']);
    await once(events, 'began');
    const waiting = await new RawClient(port).signIn(anaKey);
    const stalled = await new RawClient(port).signIn(anaKey);
    const flooded = await stalled.open(0, 10);
    stalled.request(flooded, 'exec', 'bytes 1000000 0');
    await stalled.next(94);
    const other = await new RawClient(port).signIn(boKey);
    const why = new UserError('denied', 'your key was revoked', { hint: 'ask an admin' });
    const began = Date.now();

    door.endWhere(({ user }) => user === 'ana', why);
    const [told, idle, cut] = await Promise.all([
      outcome(ssh, '', 'open'),
      waiting.end(),
      stalled.end(),
    ]);

    t.ok(Date.now() - began < 1200, `${Date.now() - began} ms`);
    t.match(told, { status: 4, stderr: 'cpm: your key was revoked\nhint: ask an admin\n' });
    t.equal(idle, 'cpm: your key was revoked (ask an admin)');
    t.equal(cut, 'cpm: your key was revoked (ask an admin)');
    other.send(message(80, 'are you there', true));
    await other.next(82);
    other.destroy();
  },
);

t.test('endWhere leaves the last word to the request, where that speaks up', async (t) => {
  const { port, door, events } = await makeDoor(t, owners, {
    run: async ({ stdio, signal }) => {
      events.emit('began');
      await once(signal, 'abort');
      stdio.stderr.write(`cpm: ${(signal.reason as Error).message}, said the request\n`);
      return 4;
    },
  });
  const ssh = startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'x']);
  await once(events, 'began');

  door.endWhere(() => true, new UserError('denied', 'revoked'));

  t.match(await outcome(ssh, '', 'open'), {
    status: 4,
    stderr: 'cpm: revoked, said the request\n',
  });
});

t.test('close lets a running request finish within the grace, and takes no other', async (t) => {
  const { port, door, events } = await makeDoor(t, owners);
  const ssh = startSsh(port, clientFiles(t, ana), [
    'cpm@127.0.0.1',
    'sh -c "sleep 0.7; echo done"',
  ]);
  await once(events, 'began');
  const idle = await new RawClient(port).signIn(anaKey);

  const closing = door.close({ graceMs: 10_000 });
  const [result, text] = await Promise.all([outcome(ssh, '', 'open'), idle.end(), closing]);

  t.match(result, { status: 0, stderr: '' });
  t.equal(result.stdout.toString(), 'done\n');
  t.match(text, /^cpm: the server is stopping/);
  t.same(door.counts(), { connections: 0, unauthenticated: 0, requests: 0 });
});

t.test('close ends what runs longer than the grace, with a word and status 6', async (t) => {
  const { port, door, events } = await makeDoor(t, owners);
  const ssh = startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'deaf']);
  await once(events, 'began');

  const [result] = await Promise.all([outcome(ssh, '', 'open'), door.close({ graceMs: 200 })]);

  t.match(result, { status: 6, stderr: /^cpm: the server is stopping/ });
});
