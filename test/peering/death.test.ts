import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { listProcesses } from '../../src/programs/processes.ts';
import { appears, entryIn } from '../support/appears.ts';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { type Answer, must } from '../support/process.ts';
import { inject, mayTrace } from '../support/strace.ts';

const skip = mayTrace() ? false : 'this account may not trace a server';
const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
await hq.admin.ssh('org create acme');
await hq.admin.ssh('init acme/app');
const work = await hq.admin.worktree();
const git = (words: string) => hq.admin.git(words, { cwd: work });
const bare = (house: House) => join(house.dataDir, 'repositories/acme/app.git');
const refsOf = async (house: House) =>
  (await must('git', ['-C', bare(house), 'for-each-ref', 'refs/heads'])).stdout;
const locksIn = (house: House) =>
  readdirSync(join(bare(house), 'refs/heads')).filter((name) => name.endsWith('.lock'));
const sync = () => hq.admin.ssh('push acme/app --to b --json');

async function commit(): Promise<string> {
  await git('commit -q --allow-empty -m more');
  return (await git('rev-parse HEAD')).stdout.trim();
}

/** Pushes what was committed to some branches. */
function write(...to: string[]): Promise<Answer> {
  const refs = to.map((branch) => `HEAD:refs/heads/${branch}`);
  return hq.admin.git(['push', '-q', hq.admin.url('acme/app'), ...refs], { cwd: work });
}

const branches = ['one', 'two', 'three', 'four'];
await write(...branches);
await sync();

t.test('a death between a pack and its index', { skip }, async (t) => {
  await commit();
  await write('one');
  const before = await refsOf(b);
  const packs = join(bare(b), 'objects/pack');
  const had = new Set(readdirSync(packs));
  const isNew = (name: string) => name.endsWith('.pack') && !had.has(name);
  const slow = await inject(b.pid, { call: 'rename', what: 'delay_exit=2s', threads: 'all' });
  const running = sync();
  await entryIn(packs, isNew);
  await b.kill();
  await slow.ended;
  t.match(await running, { status: 6 });

  const [pack = ''] = readdirSync(packs).filter(isNew);
  const index = pack.replace(/pack$/, 'idx');
  t.notOk(readdirSync(packs).includes(index), 'the index is not there yet');
  t.equal(await refsOf(b), before);
  await must('git', ['-C', bare(b), 'fsck', '--strict']);
  await b.restart();

  t.match(JSON.parse((await sync()).stdout), [{ result: 'updated' }]);
  t.equal(await refsOf(b), await refsOf(hq));
  await must('git', ['-C', bare(b), 'fsck', '--strict']);
});

/** Waits for a git that moves refs, and has moved one of them to this value. @returns its pid */
async function movingRefs(house: House, oid: string): Promise<number> {
  const heads = join(bare(house), 'refs/heads');
  const isMoved = (ref: string) => {
    const path = join(heads, ref);
    return existsSync(path) && readFileSync(path, 'utf8').startsWith(oid);
  };
  const watching = watch(heads, { signal: AbortSignal.timeout(60_000) });
  for await (const _ of watching) if (branches.some(isMoved)) break;
  return gitOf(house, /update-ref|receive-pack/);
}

/** @returns the pid of a git that is at work for a server */
async function gitOf(house: House, command: RegExp): Promise<number> {
  const children = (await listProcesses()).filter(({ parent }) => parent === house.pid);
  const isIt = ({ pid }: { pid: number }) =>
    command.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  return children.find(isIt)?.pid ?? Number.NaN;
}

/** Each ref that git moves, or pack that it writes, takes so long that somebody can see it. */
const slowly = (house: House, call: 'rename' | 'link' = 'rename') =>
  inject(house.pid, { call, what: 'delay_exit=1s', threads: 'family' });

for (const who of ['git', 'git, and the server'] as const) {
  t.test(`the death of ${who}, inside update-ref`, { skip }, async (t) => {
    const oid = await commit();
    await write(...branches);
    const slow = await slowly(b);
    const running = sync();
    process.kill(await movingRefs(b, oid), 'SIGKILL');
    if (who !== 'git') await b.kill();
    await slow.stop();

    t.match(await running, {
      status: 6,
      stderr: who === 'git' ? /ended by SIGKILL/ : /unavailable/,
    });
    const moved = (await refsOf(b)).split('\n').filter((line) => line.startsWith(oid));
    t.ok(moved.length > 0 && moved.length < branches.length, `${moved.length} were moved`);
    if (who !== 'git') await b.restart();

    t.match(JSON.parse((await sync()).stdout), [{ result: 'updated' }]);
    t.equal(await refsOf(b), await refsOf(hq));
    t.same(locksIn(b), []);
    await must('git', ['-C', bare(b), 'fsck', '--strict']);
  });
}

t.test(
  'a push whose git is killed leaves nothing in the way of the next one',
  { skip },
  async (t) => {
    const oid = await commit();
    const slow = await slowly(hq);
    const pushing = write(...branches);
    process.kill(await movingRefs(hq, oid), 'SIGKILL');
    await slow.stop();
    t.match(await pushing, { status: 1, stderr: /ended without a report/ });

    t.match(await write(...branches), { status: 0 });
    t.same(locksIn(hq), []);
    await must('git', ['-C', bare(hq), 'fsck', '--strict']);
  },
);

t.test(
  'the death of git while it checks what came says nothing of who sent it',
  { skip },
  async (t) => {
    await commit();
    await write('one');
    const incoming = join(b.dataDir, 'incoming');
    const slow = await slowly(b, 'link');
    const running = sync();
    const isScratch = (name: string) => name.startsWith('sync-objects-');
    await entryIn(incoming, isScratch);
    const scratch = readdirSync(incoming).find(isScratch) ?? '';
    const packs = join(incoming, scratch, 'pack');
    await appears(packs);
    await entryIn(packs, (name) => name.endsWith('.pack'));
    process.kill(await gitOf(b, /index-pack/), 'SIGKILL');
    await slow.stop();

    t.match(await running, { status: 6, stderr: /git was ended by SIGKILL/ });
    t.match(JSON.parse((await sync()).stdout), [{ result: 'updated' }]);
    t.equal(await refsOf(b), await refsOf(hq));
  },
);

t.test('the lock of a git that died long ago is removed once it is met', { skip }, async (t) => {
  await commit();
  const lock = join(bare(hq), 'refs/heads/one.lock');
  writeFileSync(lock, '');
  t.match(await write('one'), { status: 1 }, 'it may be that of a git that somebody runs there');
  const longAgo = Date.now() / 1000 - 120;
  utimesSync(lock, longAgo, longAgo);
  t.match(await write('one'), { status: 1 });

  t.match(await write('one'), { status: 0 });
  t.same(locksIn(hq), []);
});
