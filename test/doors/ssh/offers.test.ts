import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { openSshDoor } from '../../../src/doors/ssh/server.ts';
import { createLog } from '../../../src/log.ts';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { WireReader } from '../../../src/model/sshwire.ts';
import { clientFiles, makeDoor, outcome, ownerOf, startSsh, usualLimits } from './house.ts';
import { RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana')];

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

/** What the server offers, list by list. */
async function offer(port: number): Promise<string[]> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.write('SSH-2.0-probe\r\n');
  let bytes = Buffer.alloc(0);
  while (bytes.length < 100)
    bytes = Buffer.concat([bytes, ((await once(socket, 'data')) as [Buffer])[0]]);
  socket.destroy();
  const packet = bytes.subarray(bytes.indexOf('\n') + 1);
  const reader = new WireReader(packet.subarray(5), 17);
  return Array.from({ length: 10 }, () => reader.text());
}

t.test(
  'what is offered: no weak exchange, no group exchange, no SHA-1, no compression (pitfalls 11, 15, 16, 19)',
  async (t) => {
    const { port } = await makeDoor(t, owners);

    const [kex, host, cipher, , mac, , compress] = await offer(port);

    t.equal(
      kex,
      'curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group16-sha512,' +
        'diffie-hellman-group14-sha256,kex-strict-s-v00@openssh.com',
    );
    t.equal(host, 'ssh-ed25519');
    t.equal(
      cipher,
      'aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr',
    );
    t.equal(
      mac,
      'hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512',
    );
    t.equal(compress, 'none');
  },
);

t.test('every algorithm offered works with OpenSSH (ssh.md 8.1, 8.2)', async (t) => {
  const { port } = await makeDoor(t, owners);
  const key = clientFiles(t, ana);
  const choices = [
    ...[
      'curve25519-sha256@libssh.org',
      'diffie-hellman-group16-sha512',
      'diffie-hellman-group14-sha256',
    ].map((name) => ['-o', `KexAlgorithms=${name}`]),
    ...['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'].map(
      (name) => ['-c', name],
    ),
    ...[
      'hmac-sha2-256-etm@openssh.com',
      'hmac-sha2-512-etm@openssh.com',
      'hmac-sha2-256',
      'hmac-sha2-512',
    ].flatMap((name) => [
      ['-c', 'aes256-ctr', '-m', name],
      ['-c', 'aes128-ctr', '-m', name],
    ]),
  ];

  for (const choice of choices) {
    const result = await outcome(
      startSsh(port, key, [...choice, 'cpm@127.0.0.1', 'bytes 100000 10 0']),
    );
    t.equal(result.status, 0, choice.join(' '));
    t.equal(result.stdout.length, 100_000);
  }
});

t.test(
  'clients without EXT_INFO and strict key exchange sign in and work, as libssh2 1.10 (ssh.md 8.1, 8.4)',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    for (const marks of [[], ['ext-info-c'], ['kex-strict-c-v00@openssh.com']]) {
      for (const cipher of [
        'aes128-ctr',
        'aes128-gcm@openssh.com',
        'chacha20-poly1305@openssh.com',
      ]) {
        const kex = ['curve25519-sha256', ...marks];
        const client = await new RawClient(port, { kex, cipher: [cipher] }).signIn(anaKey);
        const extended = client.received.some(([type]) => type === 7);
        const channel = await client.open(0);
        const end = client.collect();
        client.request(channel, 'exec', 'bytes 100000 0');
        const { stdout, status } = await end;
        client.destroy();

        t.equal(status, 0, `${marks} ${cipher}`);
        t.equal(stdout.length, 100_000);
        t.equal(extended, marks.includes('ext-info-c'), 'EXT_INFO goes to whom asked for it');
      }
    }
  },
);

t.test('the ident line says cpm and nothing else', async (t) => {
  const { port } = await makeDoor(t, owners);

  t.equal((await say(port, Buffer.alloc(0))).toString(), 'SSH-2.0-cpm\r\n');
});

t.test('pitfall 11: an RSA host key is refused, and so is what is no key, in words', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs1', format: 'pem' })
    .toString();
  const rows: [readonly string[], RegExp][] = [
    [[rsa], /a host key is of the type ssh-rsa, which is not taken/],
    [['nonsense'], /a host key can't be read/],
    [[ana.publicLine], /a host key holds no private key/],
    [[], /there is no host key/],
  ];
  for (const [hostKeys, text] of rows) {
    const opened = openSshDoor({
      hostKeys,
      limits: () => usualLimits,
      log: createLog('silent'),
      identify: async () => undefined,
      signedIn: async () => undefined,
      signInFailed: () => undefined,
      run: async () => 0,
    });
    await t.rejects(opened, { code: 'usage', message: text });
  }
});

t.test(
  'EXT_INFO comes right behind our own NEWKEYS and names what is taken (ssh.md 8.4, pitfall 13)',
  async (t) => {
    const { port } = await makeDoor(t, []);
    const client = new RawClient(port, { holdsNewKeys: true });
    // The server has to send it before it has the client's NEWKEYS, which are held back here.

    const reader = new WireReader(await client.next(7), 1);

    t.equal(reader.uint32(), 1);
    t.equal(reader.text(), 'server-sig-algs');
    t.equal(
      reader.text(),
      'ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256',
    );
    client.destroy();
  },
);
