import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { wire } from '../../src/model/sshwire.ts';
import { RawClient } from '../doors/ssh/raw-client.ts';
import { House } from '../support/house.ts';
import { generateKey, type Person } from '../support/person.ts';
import { must, run } from '../support/process.ts';
import { blobOf, exec, signIn } from '../support/raw.ts';

interface SignIn {
  readonly seq: number;
  readonly principal: string;
  readonly key: string | null;
  readonly outcome: string;
  readonly detail: { readonly attempts?: number; readonly fingerprints?: readonly string[] };
}

/** The record's sign-ins since a row, oldest first. */
async function signIns(house: House, after: number): Promise<readonly SignIn[]> {
  const { stdout } = await house.operator('audit list --action sign-in --limit 1000 --json');
  const rows: SignIn[] = JSON.parse(stdout);
  return rows.filter(({ seq }) => seq > after).reverse();
}

async function newest(house: House): Promise<number> {
  return (await signIns(house, 0)).at(-1)?.seq ?? 0;
}

async function lastUsed(house: House, { name }: Person): Promise<string | null> {
  const { stdout } = await house.operator(['sshkey', 'list', '--user', name, '--json']);
  return JSON.parse(stdout)[0].last_used_at;
}

const house = await House.open(t);
const junk = Buffer.alloc(64, 7);

async function forged(t: Test, victim: Person, algorithm: string): Promise<void> {
  const before = await newest(house);
  const client = new RawClient(house.port);
  await client.startService();

  client.offer({ blob: blobOf(victim.key), algorithm, signature: wire(algorithm, junk) });
  const [answer] = await client.next(51, 52);
  client.destroy();

  t.equal(answer, 51, 'the sign-in failed');
  const rows = await signIns(house, before);
  t.equal(rows.length, 1, 'one failure in the record');
  t.match(rows[0], {
    principal: 'anonymous',
    outcome: 'denied',
    detail: { attempts: 1, fingerprints: [victim.key.fingerprint] },
  });
  t.equal(await lastUsed(house, victim), null, 'the key counts as never used');
}

t.test(
  'S1 / test 1: junk under an RSA name does not sign in with somebody’s ed25519 or ecdsa key',
  async (t) => {
    const bo = await house.person('bo');
    const cy = await house.stranger('cy');
    const ecdsa = await generateKey(join(cy.home, 'ecdsa'), 'ecdsa');
    await house.operator(['user', 'add', 'cy', '--key', ecdsa.publicPath]);

    for (const algorithm of ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa', 'ssh-ed25519']) {
      await forged(t, bo, algorithm);
    }
    for (const algorithm of ['rsa-sha2-512', 'rsa-sha2-256', 'ecdsa-sha2-nistp256']) {
      await forged(t, { ...cy, key: ecdsa } as Person, algorithm);
    }

    t.match(await bo.ssh('whoami'), { status: 0, stdout: /^bo\n/ }, 'the real one signs in');
  },
);

t.test('S2 / test 2: OpenSSH offers one key and signs with another, who it is then', async (t) => {
  const offered = await house.person('dora');
  const signer = await house.person('eve');
  // Its private half is locked: ssh asks whether the key is known, can't sign with it, and goes on to the next one.
  const locked = join(signer.home, 'locked');
  for (const end of ['', '.pub']) copyFileSync(`${offered.key.privatePath}${end}`, locked + end);
  await must('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'secret', '-f', locked]);
  const before = await newest(house);

  const both = ['-o', 'LogLevel=DEBUG1', '-i', locked, '-p', String(house.port)];
  const who = await run('ssh', [...both, ...signer.sshOptions(), 'cpm@127.0.0.1']);

  t.match(who.stderr, /Server accepts key: \S+locked /, 'the one was asked about first');
  t.match(who, { status: 0, stdout: /^Welcome to cpm, eve\n/ });
  const rows = await signIns(house, before);
  t.match(rows, [{ principal: 'user:eve', key: signer.key.fingerprint, outcome: 'ok' }]);
  t.equal(rows.length, 1, 'and nobody else, nor a failure');
  t.equal(await lastUsed(house, offered), null);
});

t.test(
  'S2 / test 2: a key that signed wrongly is forgotten when another signs right',
  async (t) => {
    const offered = await house.person('fay');
    const signer = await house.person('gil');
    const before = await newest(house);
    const client = new RawClient(house.port);
    await client.startService();

    const algorithm = 'ssh-ed25519';
    client.offer({ blob: blobOf(offered.key), algorithm });
    await client.next(60);
    client.offer({ blob: blobOf(offered.key), algorithm, signature: wire(algorithm, junk) });
    await client.next(51);
    const privateKey = readFileSync(signer.key.privatePath, 'utf8');
    client.offer({ blob: blobOf(signer.key), algorithm, privateKey });
    await client.next(52);
    const whoami = await exec(client, 'whoami --json');
    client.destroy();

    t.match(JSON.parse(whoami.stdout.toString()), { user: 'gil', key: signer.key.fingerprint });
    const rows = await signIns(house, before);
    t.match(rows, [{ principal: 'user:gil', key: signer.key.fingerprint, outcome: 'ok' }]);
    t.equal(rows.length, 1, 'an unsuccessful key before a successful one is no failure (S27)');
    await house.restart();
    t.equal(await lastUsed(house, offered), null);
    t.type(await lastUsed(house, signer), 'string');
  },
);

t.test('S2 what a key may do is decided anew for each command of one connection', async (t) => {
  const hal = await house.person('hal');
  const client = await signIn(house, hal);
  t.equal((await exec(client, 'init one')).status, 0);

  await house.operator('user disable hal');

  t.notOk((await client.end()) === '', 'the connection is ended, with a reason');
  t.match(await hal.ssh('init two'), { status: 255 }, 'and no other is begun');
});

t.test('S27 failed sign-ins are counted by address prefix, in one row for many', async (t) => {
  const strangers = await Promise.all(['x1', 'x2', 'x3'].map((name) => house.stranger(name)));
  const before = await newest(house);

  const tries = await Promise.all(strangers.flatMap((who) => [who.ssh('list'), who.ssh('list')]));

  t.same([...new Set(tries.map(({ status }) => status))], [255]);
  const rows = await signIns(house, before);
  t.equal(rows.length, 1);
  t.match(rows[0], { outcome: 'denied', address: '127.0.0.0/24', detail: { attempts: 6 } });
  t.same(
    [...(rows[0]?.detail.fingerprints ?? [])].sort(),
    strangers.map(({ key }) => key.fingerprint).sort(),
  );
});

t.test('S27 no row has more than five fingerprints, however many keys were tried', async (t) => {
  const names = ['y1', 'y2', 'y3', 'y4', 'y5', 'y6', 'y7'];
  const strangers = await Promise.all(names.map((name) => house.stranger(name)));
  const before = await newest(house);

  await Promise.all(strangers.map((who) => who.ssh('list')));

  const [row] = await signIns(house, before);
  t.equal(row?.detail.attempts, 7);
  t.equal(row?.detail.fingerprints?.length, 5);
});
