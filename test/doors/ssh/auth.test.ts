import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { fingerprint, parsePublicKey } from '../../../src/model/sshkey.ts';
import { WireReader, wire } from '../../../src/model/sshwire.ts';
import { clientFiles, makeDoor, outcome, ownerOf, startSsh } from './house.ts';
import { message, RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const bo = generateEd25519('bo');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const ed25519 = 'ssh-ed25519';

/** A key made by ssh-keygen. */
function makeKey(t: Test, type: string, bits: string) {
  const file = join(t.testdir({}), type);
  spawnSync('ssh-keygen', ['-q', '-t', type, '-b', bits, '-N', '', '-m', 'PEM', '-f', file]);
  return {
    privateKey: readFileSync(file, 'utf8'),
    ...parsePublicKey(readFileSync(`${file}.pub`, 'utf8')),
  };
}

t.test(
  'S1 a registered ed25519 or ecdsa key named as RSA with junk for a signature is refused, as one failure',
  async (t) => {
    const ecdsa = makeKey(t, 'ecdsa', '256');
    const owners = [ownerOf(ana.publicKey, 'ana'), ownerOf(ecdsa, 'ec')];
    for (const blob of [ana.publicKey.blob, ecdsa.blob]) {
      for (const algorithm of ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa', ed25519]) {
        const { port, signedIn, failed, events } = await makeDoor(t, owners);
        const told = once(events, 'failed');
        const client = new RawClient(port);
        await client.startService();

        client.offer({ blob, algorithm, signature: wire(algorithm, Buffer.alloc(64, 7)) });
        const answer = await client.next(51, 52);
        client.destroy();
        await told;

        t.equal(answer[0], 51, `${algorithm} is refused`);
        t.same(failed, [[fingerprint(blob)]], 'one failure, with the fingerprint');
        t.same(signedIn, []);
      }
    }
  },
);

t.test(
  'S1 a signature by another key, over other data, or under another algorithm is refused',
  async (t) => {
    const { port, signedIn } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
    const blob = ana.publicKey.blob;
    const client = new RawClient(port);
    await client.startService();
    const other = new RawClient(port);
    await other.startService();
    const request = message(50, 'cpm', 'ssh-connection', 'publickey', true, ed25519, blob);

    client.offer({ blob, algorithm: ed25519, privateKey: bo.privateKey });
    t.equal((await client.next(51, 52))[0], 51, 'another key');
    const foreign = other.sessionData(request);
    client.offer({ blob, algorithm: ed25519, signature: signEd25519(ana.privateKey, foreign) });
    t.equal((await client.next(51, 52))[0], 51, 'another session');
    const named = wire(
      'ecdsa-sha2-nistp256',
      rawSignature(ana.privateKey, client.sessionData(request)),
    );
    client.offer({ blob, algorithm: ed25519, signature: named });
    t.equal((await client.next(51, 52))[0], 51, 'another algorithm within');
    client.destroy();
    other.destroy();

    t.same(signedIn, []);
  },
);

t.test('S2 who offers one key and signs with another is the one who signed', async (t) => {
  const owners = [ownerOf(ana.publicKey, 'ana'), ownerOf(bo.publicKey, 'bo')];
  const { port, signedIn, failed } = await makeDoor(t, owners);
  const client = new RawClient(port);
  await client.startService();

  client.offer({ blob: ana.publicKey.blob, algorithm: ed25519 });
  await client.next(60);
  client.offer({ blob: ana.publicKey.blob, algorithm: ed25519, privateKey: bo.privateKey });
  await client.next(51);
  client.offer({ blob: bo.publicKey.blob, algorithm: ed25519, privateKey: bo.privateKey });
  await client.next(52);
  const channel = await client.open(0);
  const end = client.collect();
  client.request(channel, 'exec', 'show');
  const { stdout } = await end;
  client.destroy();

  t.match(JSON.parse(stdout.toString()), { principal: { name: 'bo' } });
  t.same(
    signedIn.map(({ user }) => user),
    ['bo'],
  );
  t.same(failed, [], 'a key that failed before one that signs is no failure');
});

t.test('S2 a mere question is answered for known keys alone, and stores nothing', async (t) => {
  const { port, signedIn, failed, events } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const told = once(events, 'failed');
  const client = new RawClient(port);
  await client.startService();

  client.offer({ blob: ana.publicKey.blob, algorithm: ed25519 });
  t.equal((await client.next(51, 60))[0], 60);
  client.offer({ blob: bo.publicKey.blob, algorithm: ed25519 });
  t.equal((await client.next(51, 60))[0], 51);
  client.send(message(90, 'session', 0, 1000, 1000));
  t.match(await client.end(), /message 90 before the sign-in/, 'nobody is signed in');
  await told;

  t.same(signedIn, []);
  t.equal(failed.length, 1);
});

t.test('the answer to a question echoes the algorithm that was asked (ssh.md 8.3)', async (t) => {
  const rsa = makeKey(t, 'rsa', '2048');
  const { port } = await makeDoor(t, [ownerOf(rsa, 'ana')]);
  const client = new RawClient(port);
  await client.startService();

  for (const algorithm of ['rsa-sha2-512', 'rsa-sha2-256']) {
    client.offer({ blob: rsa.blob, algorithm });
    const answer = new WireReader(await client.next(60), 1);
    t.equal(answer.text(), algorithm);
    t.ok(answer.string().equals(rsa.blob));
  }
  client.destroy();
});

t.test('RSA keys sign with SHA-2, never with SHA-1 (pitfall 12)', async (t) => {
  const rsa = makeKey(t, 'rsa', '2048');
  const { port } = await makeDoor(t, [ownerOf(rsa, 'ana')]);
  const { blob, privateKey } = rsa;

  for (const [algorithm, answer] of [
    ['ssh-rsa', 51],
    ['rsa-sha2-256', 52],
    ['rsa-sha2-512', 52],
  ] as const) {
    const client = new RawClient(port);
    await client.startService();
    client.offer({ blob, algorithm, privateKey });
    t.equal((await client.next(51, 52))[0], answer, algorithm);
    client.destroy();
  }
});

t.test('certificates are refused, whoever made them (pitfall 14)', async (t) => {
  const key = clientFiles(t, ana);
  const ca = join(key, '..', 'ca');
  spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', ca]);
  spawnSync('sh', ['-c', `ssh-keygen -y -f "${key}" > "${key}.pub"`]);
  spawnSync('ssh-keygen', ['-q', '-s', ca, '-I', 'x', '-n', 'cpm', `${key}.pub`]);
  const cert = readFileSync(`${key}-cert.pub`, 'utf8').split(' ');
  const blob = Buffer.from(cert[1] ?? '', 'base64');
  const { port, signedIn } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const client = new RawClient(port);
  await client.startService();

  client.offer({ blob, algorithm: 'ssh-ed25519-cert-v01@openssh.com', privateKey: ana.privateKey });
  t.equal((await client.next(51, 52))[0], 51);
  client.destroy();
  t.same(signedIn, []);

  const both = await outcome(startSsh(port, key, ['cpm@127.0.0.1', 'show']));
  t.equal(both.status, 0, 'the plain key beside it still signs in');
});

t.test(
  'passwords and whatever else is tried fail, and end with the tries (pitfall 6)',
  async (t) => {
    const { port, failed, events } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')], {
      limits: { authTries: 3 },
    });
    const told = once(events, 'failed');
    const client = new RawClient(port);
    await client.startService();

    client.send(message(50, 'cpm', 'ssh-connection', 'none'));
    t.equal(new WireReader(await client.next(51), 1).text(), 'publickey', 'the one method');
    client.send(message(50, 'cpm', 'ssh-connection', 'password', false, 'secret'));
    await client.next(51);
    client.send(message(50, 'cpm', 'ssh-connection', 'keyboard-interactive', '', ''));
    await client.next(51);
    client.offer({ blob: bo.publicKey.blob, algorithm: ed25519 });
    t.match(await client.end(), /^cpm: 3 tries to sign in failed/);
    await told;

    t.same(failed, [[fingerprint(bo.publicKey.blob)]]);
  },
);

t.test('endless questions about a known key end too, one by one and all at once', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const question = { blob: ana.publicKey.blob, algorithm: ed25519 };
  const patient = new RawClient(port);
  await patient.startService();
  const hasty = new RawClient(port);
  await hasty.startService();

  let answers = 0;
  for (; answers < 500; answers += 1) {
    patient.offer(question);
    if ((await patient.next(60, 1))[0] === 1) break;
  }
  for (let count = 0; count < 500; count += 1) hasty.offer(question);

  t.equal(answers, 14);
  t.match(await hasty.end(), /^cpm: (6 tries|protocol error: too many requests)/);
  patient.destroy();
});

t.test('S1 a known key is not even known under the algorithm of another type', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const client = new RawClient(port);
  await client.startService();

  for (const algorithm of ['rsa-sha2-512', 'ssh-rsa', 'ecdsa-sha2-nistp256', '']) {
    client.offer({ blob: ana.publicKey.blob, algorithm });
    t.equal((await client.next(51, 60))[0], 51, algorithm);
  }
  client.destroy();
});

t.test(
  'S1 the stored key counts: a look-up that answers with another one lets nobody in',
  async (t) => {
    const { port, signedIn } = await makeDoor(t, [], {
      identify: async () => ownerOf(bo.publicKey, 'bo'),
    });
    const client = new RawClient(port);
    await client.startService();

    client.offer({ ...anaKey, algorithm: ed25519 });
    t.equal((await client.next(51, 52))[0], 51);
    client.offer({ blob: anaKey.blob, algorithm: ed25519, privateKey: bo.privateKey });
    t.equal((await client.next(51, 52))[0], 51);
    client.destroy();

    t.same(signedIn, []);
  },
);

t.test('a client with many unknown keys is told what to do', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')], { limits: { authTries: 1 } });

  const result = await outcome(startSsh(port, clientFiles(t, bo), ['cpm@127.0.0.1', 'show']));

  t.match(result, { status: 255, stderr: /cpm: 1 tries to sign in failed.*IdentitiesOnly/ });
});

t.test('a failure of the look-up ends the connection and is logged', async (t) => {
  const { port, defects } = await makeDoor(t, [], {
    identify: async () => {
      throw new Error('the database is away');
    },
  });
  const client = new RawClient(port);
  await client.startService();

  client.offer({ ...anaKey, algorithm: ed25519 });

  t.match(await client.end(), /^cpm: a fault of the server/);
  t.match(defects.join(''), /the database is away/);
});

t.test('the user name may not change, and only ssh-connection is served', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const first = new RawClient(port);
  await first.startService();
  first.send(message(50, 'cpm', 'ssh-connection', 'none'));
  await first.next(51);
  first.offer({ ...anaKey, user: 'git', algorithm: ed25519 });
  t.match(await first.end(), /user name changed/);

  const second = new RawClient(port);
  await second.startService();
  second.send(message(50, 'cpm', 'ssh-agent', 'none'));
  t.match(await second.end(), /unknown service/);
});

function rawSignature(privateKey: string, data: Buffer): Buffer {
  return new WireReader(signEd25519(privateKey, data), 4 + ed25519.length).string();
}

function signEd25519(privateKey: string, data: Buffer): Buffer {
  return wire(ed25519, RawClient.sign(privateKey, data, ed25519));
}
