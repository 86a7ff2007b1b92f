import { randomBytes } from 'node:crypto';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { entryIn } from '../support/appears.ts';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';

const transports = ['rsync', 'tar'] as const;
const config = 'limits:\n  pack_size: 64K\n';
const { hq, b } = await openPair(t, { here: 'main', there: 'backup' }, { config });
await hq.admin.ssh('org create acme');
const work = await hq.admin.worktree();
const env = hq.admin.gitEnv();
const git = (...words: string[]) => must('git', words, { cwd: work, env });

interface Row {
  readonly result: string;
  readonly transport: string;
  readonly bytes_sent: number;
  readonly bytes_received: number;
  readonly bytes_total: number;
}

/** What one run came to, as `--json` tells it. */
async function run(house: House, words: string): Promise<Row> {
  const { stdout, stderr } = await house.operator(`${words} --json`);
  if (stdout === '') throw new Error(stderr);
  return (JSON.parse(stdout) as Row[])[0] as Row;
}

const directory = (house: House, repo: string) =>
  join(house.dataDir, 'repositories', `${repo}.git`);

async function refsOf(house: House, repo: string): Promise<string> {
  return (await must('git', ['-C', directory(house, repo), 'show-ref'])).stdout;
}

/** Puts a commit with a file that does not compress into a repository of hq, past the limit of pushes. */
async function grow(repo: string, kib: number): Promise<void> {
  writeFileSync(join(work, 'data'), randomBytes(kib * 1024));
  await git('add', 'data');
  await git('commit', '-q', '-m', 'more');
  await git('push', '-q', directory(hq, repo), 'main');
}

/** Waits until so many bytes of a run have arrived at a server. */
async function arrived(house: House, bytes: number): Promise<void> {
  const incoming = join(house.dataDir, 'incoming');
  const isSession = (name: string) => name.startsWith('sync-in-');
  await entryIn(incoming, isSession);
  const session = join(incoming, readdirSync(incoming).find(isSession) ?? '');
  const sizeOf = (name: string) =>
    statSync(join(session, name), { throwIfNoEntry: false })?.size ?? 0;
  await entryIn(session, (name) => sizeOf(name) >= bytes);
}

for (const transport of transports) {
  const repo = `acme/${transport}`;

  t.test(`by ${transport}: a first sync past limits.pack_size, one commit, nothing`, async (t) => {
    await hq.operator(`init ${repo}`);
    await grow(repo, 300);

    t.match(await run(hq, `push ${repo} --to b --transport ${transport}`), {
      result: 'created',
      transport,
    });
    await git('commit', '-q', '--allow-empty', '-m', 'one');
    await git('push', '-q', directory(hq, repo), 'main', 'main:dev');
    const one = await run(hq, `push ${repo} --to b --transport ${transport}`);

    t.match(one, { result: 'updated', transport });
    t.ok(one.bytes_sent + one.bytes_received < 10_240, `${JSON.stringify(one)}`);
    t.match(await run(hq, `push ${repo} --to b --transport ${transport}`), {
      result: 'up-to-date',
      transport: 'none',
    });
    t.equal(await refsOf(b, repo), await refsOf(hq, repo));
    await must('git', ['-C', directory(b, repo), 'fsck', '--strict']);
  });

  t.test(`by ${transport}: a pull makes the repository, and takes what comes later`, async (t) => {
    const other = `${repo}-pulled`;
    await hq.operator(`init ${other}`);
    await grow(other, 200);

    const first = await run(b, `pull ${other} --from hq --transport ${transport}`);
    await grow(other, 1);
    const second = await run(b, `pull ${other} --from hq --transport ${transport}`);

    t.match(
      [first, second],
      [
        { result: 'created', transport },
        { result: 'updated', transport },
      ],
    );
    t.ok(first.bytes_received > 200 * 1024 && second.bytes_received < 10_240);
    t.equal(await refsOf(b, other), await refsOf(hq, other));
  });

  for (const victim of ['receiver', 'sender'] as const) {
    t.test(`by ${transport}: after kill -9 of the ${victim} the next run carries on`, async (t) => {
      await grow(repo, 1024);
      const before = await refsOf(b, repo);
      const house = victim === 'receiver' ? b : hq;
      const words = `push ${repo} --to b --transport ${transport} --bandwidth 400K`;
      const begun = performance.now();
      const slow = hq.admin.ssh(words);
      const arrivedBytes = 400 * 1024;
      await arrived(b, arrivedBytes);
      t.ok(performance.now() - begun > 700, 'the bandwidth is kept to');

      await house.kill();
      t.not((await slow).status, 0);
      await house.restart();
      t.equal(await refsOf(b, repo), before, 'nothing of it is seen');

      const rest = await run(hq, `push ${repo} --to b --transport ${transport}`);
      t.match(rest, { result: 'updated', transport });
      const asked = 10 * 1024;
      const { bytes_sent: sent, bytes_total: total } = rest;
      t.ok(total > 1024 * 1024 && sent < total - arrivedBytes + asked, JSON.stringify(rest));
      t.equal(await refsOf(b, repo), await refsOf(hq, repo));
      await must('git', ['-C', directory(b, repo), 'fsck', '--strict']);
    });
  }
}

t.test('where a side takes no part in rsync, tar takes its place by itself', async (t) => {
  await b.operator('config set sync.transport tar');
  const tested = await hq.operator('servers test b');
  t.match(tested, { status: 0, stdout: /rsync: \S+ here, none there: tar takes its place/ });
  await grow('acme/tar', 1);

  t.match(await run(hq, 'push acme/tar --to b'), { result: 'updated', transport: 'tar' });
  await grow('acme/tar', 1);
  t.match(await hq.operator('push acme/tar --to b --transport rsync'), {
    status: 6,
    stderr: /no rsync on both sides/,
  });
  t.match(await run(b, 'pull acme/tar --from hq'), { result: 'updated', transport: 'tar' });
  t.strictSame(readdirSync(join(b.dataDir, 'incoming')), []);
  t.strictSame(readdirSync(join(hq.dataDir, 'incoming')), []);
});
