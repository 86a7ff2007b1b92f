import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { flushPkt, pkt } from '../src/model/pktline.ts';
import { wire } from '../src/model/sshwire.ts';
import { RawClient } from './doors/ssh/raw-client.ts';
import { House } from './support/house.ts';
import type { Person } from './support/person.ts';
import { blobOf, exec, signIn } from './support/raw.ts';

const house = await House.open(t, {
  config: `
limits:
  auth_tries: 3
  channels: 2
  unauthenticated: 3
  unauthenticated_per_address: 2
  connections: 6
  connections_per_user: 3
  refs_per_push: 3
  pack_size: 64K
`,
});
const { admin } = house;
const bo = await house.person('bo');
await bo.ssh('init app');

/** A connection from some address of the loopback that says nothing; it is counted once it has heard our name. */
async function silent(localAddress: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: house.port, localAddress });
  socket.on('error', () => undefined);
  await once(socket, 'data');
  return socket;
}

function gone(connections: readonly { destroy(): unknown }[]): void {
  for (const connection of connections) connection.destroy();
}

/** The server goes on as if nothing had been: somebody else signs in, and the places are free again. */
async function isWell(t: Test, who: Person = admin): Promise<void> {
  for (;;) {
    const { status, stdout, stderr } = await who.ssh('whoami');
    if (status !== 0 && /which is the limit|are in use|of yours are open/.test(stderr)) continue;
    t.match({ status, stdout }, { status: 0, stdout: new RegExp(`^${who.name}`) }, 'well after it');
    return;
  }
}

t.test('auth_tries: after so many wrong keys the client is told and let go', async (t) => {
  const client = new RawClient(house.port);
  await client.startService();
  const algorithm = 'ssh-ed25519';
  const signature = wire(algorithm, Buffer.alloc(64));

  for (let at = 1; at < 3; at += 1) {
    client.offer({ blob: blobOf(bo.key), algorithm, signature });
    await client.next(51);
  }
  client.offer({ blob: blobOf(bo.key), algorithm, signature });

  t.match(await client.end(), /^cpm: 3 tries to sign in failed: .* hint: offer one key alone/);
  await isWell(t, bo);
});

t.test('unauthenticated_per_address: OpenSSH shows why it is not let in', async (t) => {
  const held = [await silent('127.0.0.1'), await silent('127.0.0.1')];

  const refused = await admin.ssh('whoami');
  const other = await admin.ssh('whoami', { options: ['-b', '127.0.0.2'] });

  t.match(refused, { status: 255, stdout: '' });
  t.match(refused.stderr, /cpm: 2 connections from your address are signing in, .*\(try again/);
  t.match(other, { status: 0 }, 'from another address there is room');
  gone(held);
  await isWell(t);
});

t.test('unauthenticated: so many may sign in at once, from wherever they come', async (t) => {
  const held = await Promise.all(['127.0.0.1', '127.0.0.2', '127.0.0.3'].map(silent));

  const refused = await admin.ssh('whoami', { options: ['-b', '127.0.0.4'] });

  t.match(refused, { status: 255, stdout: '' });
  t.match(refused.stderr, /cpm: 3 connections are signing in, which is the limit/);
  gone(held);
  await isWell(t);
});

t.test('connections_per_user: one more signs in to be told, with status 6', async (t) => {
  const held = [await signIn(house, bo), await signIn(house, bo), await signIn(house, bo)];

  const client = await signIn(house, bo);
  const refused = await exec(client, 'whoami');
  const shown = await bo.ssh('whoami');

  t.match(refused, { status: 6, order: ['success', 'exit-status', 'eof', 'close'] });
  t.equal(refused.stdout.length, 0);
  t.match(refused.stderr, /^cpm: 3 connections of yours are open\nhint: close some, or/);
  t.match(shown, { status: 6, stdout: '', stderr: /^cpm: 3 connections of yours are open/ });
  t.match(await admin.ssh('whoami'), { status: 0 }, 'others have their own count');
  t.match(await exec(held[0] as RawClient, 'whoami'), { status: 0 }, 'those inside go on');
  gone([...held, client]);
  await isWell(t, bo);
});

t.test('connections: all together', async (t) => {
  const cy = await house.person('cy');
  const held: RawClient[] = [];
  for (const who of [bo, bo, bo, cy, cy, cy]) held.push(await signIn(house, who));

  const refused = await admin.ssh('whoami');

  t.match(refused, { status: 255, stdout: '' });
  t.match(refused.stderr, /cpm: all 6 connections of this server are in use \(try again/);
  t.match(await house.operator('whoami'), { status: 0 }, 'the local door is another');
  gone(held);
  await isWell(t);
});

t.test('channels: one more is opened to be told, with status 6', async (t) => {
  const client = await signIn(house, bo);
  await client.open(1);
  await client.open(2);

  const refused = await exec(client, 'whoami');

  t.match(refused, { status: 6, order: ['success', 'exit-status', 'eof', 'close'] });
  t.match(refused.stderr, /^cpm: 2 channels of this connection are in use\nhint: wait for one/);
  client.destroy();
  await isWell(t, bo);
});

/** A push, byte by byte as we want it. */
async function rawPush(lines: readonly string[], pack: Uint8Array) {
  const [first = '', ...rest] = lines;
  const capabilities = '\0report-status side-band-64k object-format=sha1';
  const commands = [first + capabilities, ...rest].map(pkt);
  const stdin = Buffer.concat([...commands, flushPkt, pack]);
  return bo.ssh(['git-receive-pack', 'app'], { stdin });
}

const objects = () => readdirSync(join(house.dataDir, 'repositories/bo/app.git/objects'));

t.test('refs_per_push: the whole push is refused with the limit’s name, status 6', async (t) => {
  const before = objects();
  const work = await bo.worktree();
  const tip = (await bo.git('rev-parse main', { cwd: work })).stdout.trim();
  const lines = [1, 2, 3, 4].map((at) => `${'0'.repeat(40)} ${tip} refs/heads/b${at}`);

  const raw = await rawPush(lines, Buffer.alloc(0));
  const push = await bo.git(['push', bo.url('app'), ...[1, 2, 3, 4].map((at) => `main:b${at}`)], {
    cwd: work,
  });

  t.equal(raw.status, 6);
  t.match(raw.stdout, /a push may change 3 refs at most \(limits\.refs_per_push\)/);
  t.match(raw.stdout, /ng refs\/heads\/b1 too many refs\n/);
  t.match(push, { status: 1, stderr: /remote: hint: push in several parts/ });
  t.same(objects(), before, 'nothing was kept');
  const three = ['main:b1', 'main:b2', 'main:b3'];
  t.match(await bo.git(['push', bo.url('app'), ...three], { cwd: work }), { status: 0 });
  await isWell(t, bo);
});

t.test('pack_size: a bigger pack ends with the limit’s name, status 6', async (t) => {
  const before = objects();
  const work = await bo.worktree('big');
  writeFileSync(join(work, 'noise'), randomBytes(100 * 1024));
  await bo.git('add noise', { cwd: work });
  await bo.git('commit -q -m noise', { cwd: work });
  const tip = (await bo.git('rev-parse HEAD', { cwd: work })).stdout.trim();
  const pack = await bo.git('pack-objects --stdout --revs -q', { cwd: work, stdin: `${tip}\n` });

  const raw = await rawPush([`${'0'.repeat(40)} ${tip} refs/heads/big`], pack.bytes);
  const whole = await bo.git(['push', bo.url('app'), 'HEAD:big'], { cwd: work });

  t.equal(raw.status, 6);
  t.match(raw.stdout, /ng refs\/heads\/big the pack is bigger than 65536 bytes/);
  t.match(whole, { status: 1 });
  t.match(whole.stderr, /the pack is bigger than 65536 bytes \(limits\.pack_size\)/);
  t.match(whole.stderr, /remote: hint: push in several parts, oldest commits first/);
  t.same(objects(), before, 'nothing was kept');
  const rows = JSON.parse((await house.operator('audit list --repo bo/app --json')).stdout);
  t.match(rows[0], { action: 'git-receive-pack', outcome: /failed|denied/, detail: { refs: [] } });
  await isWell(t, bo);
});

t.test('login_grace and idle: silence ends with a sentence', async (t) => {
  const quick = await House.open(t, { config: 'limits:\n  login_grace: 1s\n  idle: 2s\n' });
  await quick.admin.ssh('init app');
  const began = Date.now();
  const talker = new RawClient(quick.port);
  const mute = connect({ host: '127.0.0.1', port: quick.port });
  let heard = '';
  mute.on('data', (chunk) => {
    heard += chunk.toString('latin1');
  });
  await talker.startService();

  const [text] = await Promise.all([talker.end(), once(mute, 'close')]);

  t.ok(Date.now() - began >= 990 && Date.now() - began < 4000, 'after the grace');
  t.match(text, /^cpm: nobody signed in within 1 s \(connect again\)/);
  t.match(heard, /nobody signed in within 1 s/);

  const [asking, resting] = [await signIn(quick, quick.admin), await signIn(quick, quick.admin)];
  const push = exec(asking, "git-receive-pack 'app'");
  const ended = await push;

  t.match(ended, { status: 6, stderr: /^cpm: nothing was sent for 2 s\nhint: connect again/ });
  t.match(await resting.end(), /^cpm: nothing was sent for 2 s/, 'also without a request');
  t.match(await quick.admin.ssh('whoami'), { status: 0 });
  t.match(await quick.operator('audit verify'), { status: 0 });
});

t.test('after all this the record is whole and no request is open', async (t) => {
  t.match(await house.operator('audit verify'), { status: 0 });
  const rows = JSON.parse((await house.operator('audit list --limit 1000 --json')).stdout);
  const open = rows.filter(({ outcome }: { outcome: string }) => outcome === 'open');
  t.same(
    open.map(({ action }: { action: string }) => action),
    ['audit list'],
    'but the one that asks',
  );
});
