import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { entryIn } from '../support/appears.ts';
import { House } from '../support/house.ts';
import { introduce } from '../support/pair.ts';
import { Peer } from '../support/peer.ts';
import { type Answer, must, run } from '../support/process.ts';

const disk = mkdtempSync(join(tmpdir(), 'cpm-disk-'));
const size = 'size=64m,mode=700';
const { status: unmounted } = await run('mount', ['-t', 'tmpfs', '-o', size, 'cpm', disk]);
const skip = unmounted === 0 ? false : 'this account may not mount a disk';
t.teardown(async () => {
  if (unmounted === 0) await must('umount', ['-l', disk]);
  rmSync(disk, { recursive: true });
});

const env = { CPM_DATA_DIR: join(disk, 'data'), CPM_LIMITS__DISK_RESERVE: '4M' };
const [hq, b] = await Promise.all([House.open(t), House.open(t, { admin: 'bea', env })]);
// Where its files are looked for.
symlinkSync(env.CPM_DATA_DIR, b.dataDir);
await introduce(hq, b, { name: 'b', role: 'backup' });
await introduce(b, hq, { name: 'hq', role: 'main' });
await hq.admin.ssh('org create acme');
await hq.admin.ssh('init acme/app');
const work = await hq.admin.worktree();
const git = (...words: string[]) => must('git', words, { cwd: work, env: hq.admin.gitEnv() });

const bare = (dataDir: string) => join(dataDir, 'repositories/acme/app.git');
const there = env.CPM_DATA_DIR;
const refsOf = async (dataDir: string) =>
  (await must('git', ['-C', bare(dataDir), 'show-ref'])).stdout;
const sync = (words = ''): Promise<Answer> => hq.admin.ssh(`push acme/app --to b --json ${words}`);

async function grow(mib: number): Promise<void> {
  writeFileSync(join(work, 'data'), randomBytes(mib << 20));
  await git('add', 'data');
  await git('commit', '-q', '-m', 'more');
  await git('push', '-q', hq.admin.url('acme/app'), 'main');
}

/** Something else takes all of the disk but so many MiB. @returns the function that frees it */
function leave(mib: number): () => void {
  const { bavail, bsize } = statfsSync(disk);
  const ballast = join(disk, 'ballast');
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - mib * 2 ** 20));
  return () => rmSync(ballast);
}

const incoming = () => readdirSync(join(there, 'incoming'));

t.test('S26 what a disk has no room for is not sent there', { skip }, async (t) => {
  await grow(0);
  t.match(await sync(), { status: 0 });
  const before = await refsOf(there);
  await grow(6);
  const release = leave(10);

  const refused = await sync();
  t.match(refused, {
    status: 6,
    stderr: /no room for it on b: 6\.\d MB are to come, \d\.\d MB may/,
  });
  t.strictSame(incoming(), [], 'and nothing was');
  release();
  const heavier = leave(2);
  t.match(await sync(), { status: 6, stderr: /the disk is full: .*limits\.disk_reserve/ });
  t.equal(await refsOf(there), before);
  heavier();

  t.match(await sync(), { status: 0 });
  t.equal(await refsOf(there), await refsOf(hq.dataDir));
});

for (const transport of ['rsync', 'tar'] as const) {
  t.test(
    `S26 by ${transport}: a disk that fills up on the way, and is freed`,
    { skip },
    async (t) => {
      await grow(4);
      const before = await refsOf(there);
      const words = `--transport ${transport} --bandwidth 3M`;
      const running = sync(words);
      await entryIn(join(there, 'incoming'), (name) => name.startsWith('sync-in-'));
      const release = leave(3);

      const failed = await running;
      release();
      t.match(failed, { status: 6, stderr: /the disk is full|broke off/ });
      t.equal(await refsOf(there), before, 'nothing of it is seen');
      t.match(await b.admin.ssh('audit verify'), { status: 0 }, 'the server goes on');

      t.match(JSON.parse((await sync(words)).stdout), [{ result: 'updated', transport }]);
      t.equal(await refsOf(there), await refsOf(hq.dataDir));
      await must('git', ['-C', bare(there), 'fsck', '--strict']);
      t.strictSame(incoming(), []);
    },
  );
}

t.test('S26 a disk with room for what comes, but not for its check', { skip }, async (t) => {
  const mib = 8;
  await grow(mib);
  const before = await refsOf(there);
  const running = sync('--transport rsync --bandwidth 6M');
  await entryIn(join(there, 'incoming'), (name) => name.startsWith('sync-in-'));
  // More than the reserve is free when all has come, so that git begins; and less than git writes.
  const release = leave(mib + 5.5);

  t.match(await running, { status: 6, stderr: /the disk is full: nothing was changed/ });
  t.equal(await refsOf(there), before);
  await must('git', ['-C', bare(there), 'fsck', '--strict']);
  const left = incoming();
  t.ok(
    left.every((name) => name.startsWith('sync-in-')),
    `${left}`,
  );
  release();

  t.match(JSON.parse((await sync('--transport rsync')).stdout), [{ result: 'updated' }]);
  t.equal(await refsOf(there), await refsOf(hq.dataDir));
  await must('git', ['-C', bare(there), 'fsck', '--strict']);
  t.strictSame(incoming(), []);
});

t.test('S26 who sends without end fills no disk', { skip }, async (t) => {
  const flood = join(hq.folder, 'flood');
  await must('mkdir', [flood]);
  writeFileSync(join(flood, 'refs'), Buffer.alloc(60 << 20));
  const peer = new Peer(hq, b);
  const about = { description: '', visibility: 'private', defaultBranch: 'main' };
  const { id } = JSON.parse((await hq.admin.ssh('show acme/app --json')).stdout);

  await peer.converse(async (ask) => {
    const repo = { id, name: 'acme/app', ...about };
    const { ok } = await ask({ verb: 'offer', repo, digest: 'x', known: null, dryRun: false });
    const { token } = ok as { token: string };
    const args = ['-rtc', '--bwlimit=40M', '-e', peer.ssh, `${flood}/`, `cpm@127.0.0.1:${token}/`];
    const sent = await run('rsync', args);
    t.not(sent.status, 0, sent.stderr);
    const committed = await ask({ verb: 'commit', token, decided: [] });
    t.match(committed, { error: { code: /corrupt|denied/ } });
  });
  t.match(await b.admin.ssh('whoami'), { status: 0 });
  t.match(await sync(), { status: 0 });
});
