import { once } from 'node:events';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { WireReader } from '../../../src/model/sshwire.ts';
import { makeDoor, ownerOf } from './house.ts';
import { message, RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana')];

t.test(
  'one request a channel: a second exec, shell or pty is refused (RFC 4254, 6.5)',
  async (t) => {
    const { port, requests } = await makeDoor(t, owners);
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    client.request(channel, 'exec', 'deaf');
    await client.next(99);

    for (const type of [
      'exec',
      'shell',
      'subsystem',
      'pty-req',
      'env',
      'x11-req',
      'auth-agent-req@openssh.com',
    ]) {
      client.request(channel, type, 'GIT_PROTOCOL', 'x', 0, 0, 0, '');
      t.equal((await client.next(99, 100))[0], 100, type);
    }
    t.equal(requests.length, 1);
    client.destroy();
  },
);

t.test('env takes GIT_PROTOCOL alone, and no more than 256 bytes of it', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  const rows: [string, string, number][] = [
    ['LD_PRELOAD', '/x', 100],
    ['GIT_DIR', '/x', 100],
    ['GIT_PROTOCOL', 'x'.repeat(257), 100],
    ['GIT_PROTOCOL', 'version=2', 99],
  ];
  for (const [name, value, answer] of rows) {
    client.request(channel, 'env', name, value);
    t.equal((await client.next(99, 100))[0], answer, name);
  }
  client.destroy();
});

t.test('pitfall 17: channels for forwarding are refused in one sentence', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);

  for (const type of [
    'direct-tcpip',
    'direct-streamlocal@openssh.com',
    'x11',
    'auth-agent@openssh.com',
  ]) {
    client.send(message(90, type, 5, 1000, 1000, 'localhost', 22, 'here', 1));
    const reader = new WireReader(await client.next(92), 1);
    t.equal(reader.uint32(), 5);
    t.equal(reader.uint32(), 1, 'prohibited');
    t.equal(reader.string().toString(), 'cpm: forwarding is not offered here', type);
  }
  client.send(message(80, 'tcpip-forward', true, '', 0));
  t.ok(await client.next(82));
  client.destroy();
});

t.test('a command that is not UTF-8, or has NUL in it, is answered with status 2', async (t) => {
  const { port, requests } = await makeDoor(t, owners);
  const rows: [Buffer, RegExp][] = [
    [Buffer.from([0x73, 0xff, 0xfe]), /^cpm: the command is not valid UTF-8/],
    [Buffer.from('show \0 x'), /^cpm: the command has a control character in it \(0x00\)/],
  ];
  for (const [line, text] of rows) {
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    const end = client.collect();
    client.request(channel, 'exec', line);
    const { stderr, status } = await end;
    t.equal(status, 2);
    t.match(stderr, text);
    client.destroy();
  }
  t.same(requests, []);
});

t.test('an unknown message is answered as unimplemented, with its own number', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  let told: number | undefined;
  client.onUnimplemented = (sequence) => {
    told = sequence;
  };

  client.send(message(192, 'ping'));
  client.send(message(80, 'are you there', true));
  await client.next(82);

  t.equal(told, 2, 'two messages went before it since the keys changed');
  client.destroy();
});

t.test('a terminal that changes its size is known by its new one', async (t) => {
  const { port, events } = await makeDoor(t, owners, {
    run: async ({ stdio, terminal }) => {
      stdio.stdout.write(`${terminal?.columns} `);
      await once(events, 'go');
      stdio.stdout.write(`${terminal?.columns}`);
      return 0;
    },
  });
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  client.request(channel, 'pty-req', 'xterm', 0, 24, 0, 0, '');
  await client.next(99);
  const end = client.collect();
  client.request(channel, 'exec', 'x');
  client.request(channel, 'window-change', 132, 43, 0, 0);
  client.send(message(80, 'are you there', true));
  await client.next(82);

  events.emit('go');

  t.equal((await end).stdout.toString(), '80 132', '0 columns means unknown');
  client.destroy();
});

t.test('who waits for a refused subsystem for ever is sent away', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  const closed = client.collect();

  client.request(channel, 'subsystem', 'sftp');
  t.match(await closed, { status: 2, stderr: /^cpm: sftp and scp are not offered here/ });

  t.match(await client.end(), /^cpm: sftp and scp are not offered here/);
});

t.test('pitfall 21, Nagle: small answers are not held back', async (t) => {
  const { port, events } = await makeDoor(t, owners, {
    run: async ({ stdio }) => {
      for (let count = 0; count < 60; count += 1) {
        const arrived = once(events, 'arrived');
        stdio.stdout.write('x');
        await arrived;
      }
      return 0;
    },
  });
  const times: number[] = [];
  for (let count = 0; count < 8; count += 1) {
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    const end = client.collect(() => events.emit('arrived'));
    const began = Date.now();
    client.request(channel, 'exec', 'x');
    await end;
    times.push(Date.now() - began);
    client.destroy();
  }

  // What is held back waits for the client's delayed acknowledgement, 40 ms; the quickest shows it on a busy machine too.
  t.ok(Math.min(...times) < 30, `${times} ms`);
});
