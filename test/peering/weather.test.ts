import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { entryIn } from '../support/appears.ts';
import { House } from '../support/house.ts';
import { hostKeyOf, introduce, serverKeyOf } from '../support/pair.ts';
import { type Answer, must } from '../support/process.ts';
import { startRelay } from '../support/relay.ts';

const [hq, b] = await Promise.all([House.open(t), House.open(t, { admin: 'bea' })]);
const relay = await startRelay(b.port);
t.teardown(() => relay.close());
await introduce(b, hq, { name: 'hq', role: 'main' });
const there = ['--role', 'backup', '--fingerprint', await hostKeyOf(b), '--key', '-'];
const url = `cpm@127.0.0.1:${relay.port}`;
const add = () => hq.admin.ssh(['servers', 'add', 'b', url, ...there], { stdin: serverKeyOf(b) });
await add();
await hq.admin.ssh('org create acme');
await hq.admin.ssh('init acme/app');
const work = await hq.admin.worktree();
const env = hq.admin.gitEnv();
const git = (...words: string[]) => must('git', words, { cwd: work, env });
const clear = { ...relay.weather };

const bare = (house: House) => join(house.dataDir, 'repositories/acme/app.git');
const refsOf = async (house: House) => (await must('git', ['-C', bare(house), 'show-ref'])).stdout;

/** A commit with a file that does not compress. */
async function grow(kib: number): Promise<void> {
  writeFileSync(join(work, 'data'), randomBytes(kib * 1024));
  await git('add', 'data');
  await git('commit', '-q', '-m', 'more');
  await git('push', '-q', hq.admin.url('acme/app'), 'main');
}

const sync = (words = ''): Promise<Answer> => hq.admin.ssh(`push acme/app --to b --json ${words}`);
const meet = (): Promise<Answer> => hq.admin.ssh('servers sync b');
const server = async () => JSON.parse((await hq.admin.ssh('servers list --json')).stdout)[0];

t.test('a way that is slow and narrow only takes longer', async (t) => {
  await grow(100);
  Object.assign(relay.weather, { delayMs: 30, bytesPerSecond: 400 * 1024 });

  t.match(JSON.parse((await sync()).stdout), [{ result: 'created' }]);

  t.equal(await refsOf(b), await refsOf(hq));
  Object.assign(relay.weather, clear);
});

for (const transport of ['rsync', 'tar'] as const) {
  t.test(`by ${transport}: a way that breaks again and again is walked bit by bit`, async (t) => {
    const kib = 600;
    await grow(kib);
    const before = relay.passed.bytes;
    const seen = await refsOf(b);
    // Less than the whole in one piece, and more than it takes to sign in.
    Object.assign(relay.weather, { breaksAfter: 250 * 1024, bytesPerSecond: 4 * 1024 * 1024 });

    const failed: Answer[] = [];
    let last = await sync(`--transport ${transport}`);
    while (last.status !== 0 && failed.length < 8) {
      failed.push(last);
      if ((await refsOf(b)) !== seen) t.fail('half of it is seen');
      last = await sync(`--transport ${transport}`);
    }

    t.match(JSON.parse(last.stdout), [{ result: 'updated', transport }]);
    t.ok(failed.length > 1, `${failed.length} runs broke off`);
    for (const each of failed) t.match(each, { status: 6, stderr: /broke off|can't be reached/ });
    t.equal(await refsOf(b), await refsOf(hq));
    const all = relay.passed.bytes - before;
    // No run could carry all of it: what arrived was kept. What was on its way when it broke off is sent again.
    t.ok(all < 3 * kib * 1024, `${all} bytes for ${kib} KiB: what had arrived is not sent again`);
    await must('git', ['-C', bare(b), 'fsck', '--strict']);
    Object.assign(relay.weather, clear);
  });
}

t.test('a server that does not answer is down; a question cut off is asked again', async (t) => {
  await grow(1);
  relay.weather.isDown = true;
  relay.cut();

  t.match(await sync(), { status: 6, stderr: /b can't be reached: / });
  t.match(await meet(), { status: 6, stderr: /b can't be reached: / });
  t.match(await server(), { state: 'down', pending: 1, error: /can't be reached/ });

  Object.assign(relay.weather, clear);
  t.match(await meet(), { status: 0 });
  t.match(await server(), { state: 'up', pending: 0 });
  // The connection that waits for the next question is gone without a word.
  await grow(1);
  relay.cut();
  t.match(await meet(), { status: 0 });
  t.equal(await refsOf(b), await refsOf(hq));
});

for (const transport of ['rsync', 'tar'] as const) {
  t.test(`by ${transport}: what is on its way to a server that is removed ends`, async (t) => {
    await grow(600);
    const before = await refsOf(b);
    const incoming = join(b.dataDir, 'incoming');
    // So slow that it does not come to its end by itself.
    const running = sync(`--transport ${transport} --bandwidth 8K`);
    await entryIn(incoming, (name) => name.startsWith('sync-in-'));

    t.match(await hq.admin.ssh('servers remove b --yes'), { status: 0 });

    t.match(await running, { status: 5, stderr: /b: it was removed meanwhile/ });
    t.equal(await refsOf(b), before);
    t.match(await add(), { status: 0 });
    t.match(JSON.parse((await sync()).stdout), [{ result: 'updated' }]);
    t.equal(await refsOf(b), await refsOf(hq));
  });
}
