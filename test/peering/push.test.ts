import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
await hq.admin.ssh('org create acme');
await hq.admin.ssh('init acme/app --description Works --visibility internal');
const work = await hq.admin.worktree();
const git = (words: string) => hq.admin.git(words, { cwd: work });
const url = hq.admin.url('acme/app');
const commit = (text: string) => git(`commit -q --allow-empty -m ${text}`);

interface Row {
  result: string;
  transport: string;
  refs_updated: number;
  bytes_sent: number;
  bytes_total: number;
}

/** What one run came to, as `--json` tells it. */
async function run(house: House, words: string): Promise<Row> {
  const { stdout, stderr } = await house.admin.ssh(`${words} --json`);
  if (stdout === '') throw new Error(stderr);
  return (JSON.parse(stdout) as Row[])[0] as Row;
}

const push = () => run(hq, 'push acme/app --to b');

/** Every ref that clients see, with its value, on a server's disk. */
async function refsOf(house: House, repo = 'acme/app'): Promise<string> {
  const path = join(house.dataDir, 'repositories', `${repo}.git`);
  const args = ['for-each-ref', 'refs/heads', 'refs/tags', '--format=%(objectname) %(refname)'];
  return (await must('git', ['-C', path, ...args])).stdout;
}

const dir = (house: House) => join(house.dataDir, 'repositories', 'acme', 'app.git');

t.test('servers test names each step of the way', async (t) => {
  const { stdout, status } = await hq.admin.ssh('servers test b --json');

  const { reachable, steps } = JSON.parse(stdout);
  t.match({ reachable, status }, { reachable: true, status: 0 });
  t.strictSame(
    steps.map(({ step }: { step: string }) => step),
    ['name', 'tcp', 'host key', 'sign-in', 'versions', 'rsync', 'clock', 'disk'],
  );
});

t.test('a first push makes the mirror with all refs; again there is nothing to do', async (t) => {
  await git(`push -q ${url} main main:dev`);
  await must('git', ['tag', '-a', 'v1', '-m', 'one'], { cwd: work, env: hq.admin.gitEnv() });
  await git(`push -q ${url} v1`);

  t.match(await push(), { result: 'created', refs_updated: 3, transport: 'rsync' });

  t.equal(await refsOf(b), await refsOf(hq));
  const { stdout } = await b.admin.ssh('show acme/app --json');
  t.match(JSON.parse(stdout), { description: 'Works', visibility: 'internal' });
  await must('git', ['-C', dir(b), 'fsck', '--strict']);
  t.match(await push(), { result: 'up-to-date', transport: 'none', bytes_total: 0 });
  t.match(await run(b, 'pull acme/app --from hq'), { result: 'up-to-date', transport: 'none' });
});

t.test(
  'one commit sends one small pack; what was deleted there goes here, and is archived',
  async (t) => {
    await commit('two');
    await git(`push -q ${url} main :dev`);

    const done = await push();

    t.match(done, { result: 'updated', refs_updated: 2 });
    t.ok(done.bytes_sent < 10_000, `${done.bytes_sent} bytes`);
    t.equal(await refsOf(b), await refsOf(hq));
    const { stdout } = await b.admin.ssh('show acme/app --json');
    t.match(JSON.parse(stdout), { archived_tips: 1 });
  },
);

t.test(
  'a forced branch and a moved tag are taken from the main, their old values archived',
  async (t) => {
    await git('commit -q --amend --allow-empty -m other');
    await must('git', ['tag', '-f', '-a', 'v1', '-m', 'again'], {
      cwd: work,
      env: hq.admin.gitEnv(),
    });
    await git(`push -q -f ${url} main v1`);

    t.match(await push(), { result: 'updated', refs_updated: 2 });

    t.equal(await refsOf(b), await refsOf(hq));
    t.match(JSON.parse((await b.admin.ssh('show acme/app --json')).stdout), { archived_tips: 3 });
  },
);

t.test('a push to a mirror is refused with the address of its main; reading is not', async (t) => {
  const bea = b.admin;

  const pushed = await bea.git(['push', bea.url('acme/app'), 'main:x'], { cwd: work });

  t.match(pushed, {
    status: 128,
    stderr: new RegExp(`push to ssh://cpm@127.0.0.1:${hq.port}/acme/app`),
  });
  t.match(await bea.git(['clone', '-q', bea.url('acme/app'), 'clone']), { status: 0 });
});

t.test('S19 a repository that was born here is not written by a main', async (t) => {
  await b.admin.ssh('org create own');
  await b.admin.ssh('init own/app');
  await hq.admin.ssh('org create own');
  await hq.admin.ssh('init own/app');
  await git(`push -q ${hq.admin.url('own/app')} main`);

  t.match(await hq.admin.ssh('push own/app --to b'), { status: 4, stderr: /not linked with hq/ });
  await b.admin.ssh('servers link hq own/app');
  t.match(await hq.admin.ssh('push own/app --to b'), { status: 4, stderr: /you may read it, not/ });

  t.equal(await refsOf(b, 'own/app'), '');
});

t.test('S9 who is no site admin carries only what is linked', async (t) => {
  const ana = await hq.person('ana');

  t.match(await ana.ssh('push own/app --to b'), { status: 3 });
  await hq.admin.ssh('repo access grant own/app ana write');
  t.match(await ana.ssh('push own/app --to b'), {
    status: 4,
    stderr: /not linked with that server/,
  });
  t.match(await ana.ssh('push --all --to b'), { status: 4 });
});

t.test('a deletion is never made of an absence: refs lost on the disk stay there', async (t) => {
  const before = await refsOf(b);
  await must('git', ['-C', dir(hq), 'update-ref', '-d', 'refs/tags/v1']);

  await push();

  t.equal(await refsOf(b), before);
  await git(`push -q ${url} v1`);
});

t.test('a server that shrinks is held until it is allowed where it would shrink', async (t) => {
  const many = Array.from({ length: 12 }, (_, at) => `main:b${at}`).join(' ');
  await git(`push -q ${url} ${many}`);
  await push();
  const none = Array.from({ length: 12 }, (_, at) => `:b${at}`).join(' ');
  await git(`push -q ${url} ${none}`);

  const held = await hq.admin.ssh('push acme/app --to b --json');
  t.match(held, { status: 5, stdout: /"result":"held"/ });
  t.match(JSON.parse((await hq.admin.ssh('servers list --json')).stdout), [{ state: 'held' }]);
  t.match(await run(b, 'pull acme/app --from hq --allow-shrink'), { result: 'updated' });

  t.equal(await refsOf(b), await refsOf(hq));
  t.match(await push(), { result: 'up-to-date' });
});

t.test('a dry run tells what would go, and sends nothing', async (t) => {
  await commit('three');
  await git(`push -q ${url} main`);
  const before = await refsOf(b);

  t.match(await run(hq, 'push acme/app --to b --dry-run'), { result: 'updated', refs_updated: 1 });

  t.equal(await refsOf(b), before);
  t.match(await run(b, 'pull acme/app --from hq'), { result: 'updated', refs_updated: 1 });
});

t.test(
  'history and events know the server by its name, and no session is left behind',
  async (t) => {
    const { stdout } = await b.admin.ssh('events --since 1');
    const events = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    t.ok(events.some((each) => each.type === 'ref-updated' && each.principal === 'server:hq'));
    t.ok(events.some((each) => each.type === 'sync' && each.server === 'hq'));
    t.strictSame(
      [readdirSync(join(b.dataDir, 'incoming')), readdirSync(join(hq.dataDir, 'incoming'))],
      [[], []],
    );
  },
);
