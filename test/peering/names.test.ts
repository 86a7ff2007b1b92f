import t from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';

const { hq, b } = await openPair(t, { here: 'dev', there: 'dev' });
const work = await hq.admin.worktree();
const git = (words: string) => hq.admin.git(words, { cwd: work });
const head = async () => (await git('rev-parse HEAD')).stdout.trim();
const refsOf = async ({ admin }: House): Promise<Record<string, string>> => {
  const { stdout } = await admin.git(['ls-remote', admin.url('acme/app'), 'refs/*']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return Object.fromEntries(lines.map((line) => line.split('\t').reverse()));
};

/** Pushes to the first server what the working tree is at, or ends refs there. */
const push = (...refs: string[]) =>
  hq.admin.git(['push', '-q', hq.admin.url('acme/app'), ...refs], { cwd: work });

/** What `git` keeps in one file and in a folder of the same name can't both be. */
t.before(async () => {
  for (const { admin } of [hq, b]) {
    await admin.ssh('org create acme');
    await admin.ssh('init acme/app');
  }
  await hq.admin.ssh('servers link b acme/app');
  await b.admin.ssh('servers link hq acme/app');
  await push('HEAD:refs/heads/main', 'HEAD:refs/heads/a');
  await hq.admin.ssh('push acme/app --to b');
});

t.test('a branch gives way to one in a folder of its name, and that to it', async (t) => {
  for (const [old, name] of [
    ['a', 'a/b'],
    ['a/b', 'a'],
  ] as const) {
    await git('commit -q --allow-empty -m more');
    await push(`:refs/heads/${old}`);
    await push(`HEAD:refs/heads/${name}`, 'HEAD:refs/heads/main');

    const pushed = await hq.admin.ssh('push acme/app --to b --json');

    t.match(pushed, { status: 0, stdout: /"result":"updated"/, stderr: '' }, name);
    const oid = await head();
    t.same(await refsOf(b), { 'refs/heads/main': oid, [`refs/heads/${name}`]: oid }, name);
  }
});

t.test('a name that can not be beside another keeps no other ref', async (t) => {
  const before = await refsOf(b);
  const there = await b.admin.worktree();
  const url = b.admin.url('acme/app');
  await b.admin.git(['push', '-q', url, 'HEAD:refs/heads/c'], { cwd: there });
  await git('commit -q --allow-empty -m more');
  await push('HEAD:refs/heads/c/d', 'HEAD:refs/heads/main', 'HEAD:refs/heads/late');
  const oid = await head();

  for (const words of ['push acme/app --to b', 'push acme/app --to b --json']) {
    const { status, stderr } = await hq.admin.ssh(words);
    t.equal(status, 0, stderr);
    t.match(stderr, /refs\/heads\/c\/d: it can not be beside c/);
  }
  const { 'refs/heads/c': own, ...others } = await refsOf(b);
  t.ok(own, 'it stays');
  const moved = { 'refs/heads/main': oid, 'refs/heads/late': oid };
  t.same(others, { ...before, ...moved });

  t.match(await b.admin.ssh('pull acme/app --from hq'), { stderr: /c\/d: it can not be beside c/ });
  await b.admin.git(['push', '-q', url, ':refs/heads/c'], { cwd: there });
  t.match(await b.admin.ssh('pull acme/app --from hq --json'), { stdout: /"refs_updated":1/ });
  t.same(await refsOf(b), await refsOf(hq));
});
