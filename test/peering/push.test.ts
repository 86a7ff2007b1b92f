import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { House } from '../support/house.ts';
import { startOddPeer } from '../support/odd-peer.ts';
import { hostKeyOf, openPair, serverKeyOf } from '../support/pair.ts';
import { generateKey } from '../support/person.ts';
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

const way = ['name', 'tcp', 'host key', 'sign-in', 'versions', 'rsync', 'clock', 'disk'];

/** The steps that were taken to a server, the last one of which failed unless all went well. */
async function walk(name: string) {
  const { stdout, status } = await hq.admin.ssh(`servers test ${name} --json`);
  const { reachable, steps } = JSON.parse(stdout);
  const names = steps.map(({ step }: { step: string }) => step);
  t.strictSame(names, way.slice(0, names.length));
  const failed = steps.filter(({ ok }: { ok: boolean }) => !ok);
  t.equal(failed.length, reachable ? 0 : 1);
  return { status, reachable, at: names.at(-1), detail: steps.at(-1).detail, steps };
}

/** How the registry has a server, its error too. */
const noted = async (name: string) =>
  JSON.parse((await hq.admin.ssh(`servers show ${name} --json`)).stdout);

t.test('servers test names each step of the way', async (t) => {
  const { steps, ...all } = await walk('b');

  t.match(all, { reachable: true, status: 0, at: 'disk', detail: /free$/ });
  t.match(steps[0], { detail: `127.0.0.1 port ${b.port}` });
  t.match(await noted('b'), { state: 'up', error: null });
});

t.test('servers test says of what is no server at which step it is none', async (t) => {
  const silent = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const print = `--fingerprint ${await hostKeyOf(b)}`;
  const cases: [url: string, at: string, detail: RegExp][] = [
    ['cpm@nowhere.invalid:22', 'name', /nowhere\.invalid: no machine of that name is found/],
    ['cpm@127.0.0.1:1', 'tcp', /ECONNREFUSED 127\.0\.0\.1:1/],
    ['cpm@localhost:1', 'tcp', /ECONNREFUSED.*:1/],
    [`cpm@127.0.0.1:${port}`, 'host key', /shows no host key/],
  ];
  await hq.admin.ssh('servers add odd --role dev');
  t.match(await walk('odd'), { at: 'name', detail: /it comes to us/ });
  await hq.admin.ssh('servers remove odd --yes');
  for (const [url, at, detail] of cases) {
    await hq.admin.ssh(`servers add odd ${url} ${print}`);
    t.match(await walk('odd'), { status: 6, reachable: false, at, detail }, url);
    t.match(await noted('odd'), { state: 'down', error: detail });
    await hq.admin.ssh('servers remove odd --yes');
  }
});

t.test('servers test tells a key that is not known from a host key that is another', async (t) => {
  const key = serverKeyOf(hq);
  await b.admin.ssh('servers remove hq --yes');
  t.match(await walk('b'), { status: 6, at: 'sign-in', detail: /does not know this server's key/ });
  t.match(await noted('b'), { state: 'down', error: /^sign-in: / });
  const { last_sync_at } = await noted('b');
  const failed = await hq.admin.ssh('push acme/app --to b --json');
  t.equal(failed.status, 4);
  t.match(JSON.parse(failed.stdout), [{ repo: 'acme/app', server: 'b', result: 'failed' }]);
  t.match(JSON.parse(failed.stderr), { error: { code: 'denied' } });
  t.strictSame((await noted('b')).last_sync_at, last_sync_at, 'what failed is no sync');
  const url = `cpm@127.0.0.1:${hq.port}`;
  const flags = ['--role', 'main', '--fingerprint', await hostKeyOf(hq), '--key', '-'];
  t.match(await b.admin.ssh(['servers', 'add', 'hq', url, ...flags], { stdin: key }), {
    status: 0,
  });

  const other = await generateKey(join(hq.folder, 'other'));
  const port = await startOddPeer(t, other, () => ({}));
  await hq.admin.ssh(`servers set b --url cpm@127.0.0.1:${port}`);
  const changed = `host key is ${other.fingerprint}, pinned ${await hostKeyOf(b)}`;
  t.match(await walk('b'), { status: 6, at: 'host key', detail: changed });
  t.match(await noted('b'), { state: 'untrusted' });
  const stopped = { status: 4, stderr: /sync with b stopped: host key is/ };
  t.match(await hq.admin.ssh('servers sync'), stopped, 'nothing to do is not what it says');
  await hq.admin.ssh(`servers set b --url cpm@127.0.0.1:${b.port}`);
  t.match(await walk('b'), { at: 'host key', detail: changed }, 'until a person trusts it');
  await hq.admin.ssh(`servers trust b --fingerprint ${await hostKeyOf(b)}`);
  t.match(await walk('b'), { status: 0, reachable: true });
});

t.test('servers test looks at what a server says of itself', async (t) => {
  const key = await generateKey(join(hq.folder, 'odd'));
  const said = { protocol: 1, houseId: 'x', git: '2.39.5', rsync: '3.2.7', freeBytes: 5 << 20 };
  const now = () => new Date().toISOString();
  let more: object | undefined = {};
  const port = await startOddPeer(t, key, () => more && { ...said, at: now(), ...more });
  await hq.admin.ssh(`servers add odd cpm@127.0.0.1:${port} --fingerprint ${key.fingerprint}`);
  const cases: [more: object | undefined, at: string, detail: RegExp, status: number][] = [
    [{}, 'disk', /^5\.0 MB free$/, 0],
    [undefined, 'host key', /can't be reached/, 6],
    [{ protocol: 2 }, 'versions', /speaks version 2 of the protocol/, 6],
    [{ rsync: null }, 'disk', /free$/, 0],
    [{ roomBytes: 0 }, 'disk', /5\.0 MB free, all of it kept in reserve/, 6],
  ];
  for (const [given, at, detail, status] of cases) {
    more = given;
    t.match(await walk('odd'), { at, detail, status }, JSON.stringify(given));
  }
  t.match(await noted('odd'), { state: 'up', error: /^disk: / });
  more = { rsync: null, git: '\u001b[2J', at: '2020-01-01T00:00:00.000Z' };
  const { steps } = await walk('odd');
  t.match(steps.slice(4, 7), [
    { detail: 'git \\x1b[2J' },
    { detail: /none there: tar takes its place/ },
    { detail: /s apart; no decision here depends on it/ },
  ]);
  await hq.operator('config set sync.transport rsync');
  t.match(await walk('odd'), {
    status: 6,
    at: 'rsync',
    detail: /none there.*sync\.transport is rsync/,
  });
  await hq.operator('config unset sync.transport');
  t.match(await noted('odd'), { state: 'up', error: /^rsync: / });
  await hq.admin.ssh('servers remove odd --yes');
});

t.test('servers test sees the reserve of a disk, which reads and refs do not need', async (t) => {
  await b.operator('config set limits.disk_reserve 1000000G');
  t.match(await walk('b'), { status: 6, at: 'disk', detail: /all of it kept in reserve there/ });
  await b.operator('config unset limits.disk_reserve');
  t.match(await walk('b'), { status: 0, reachable: true });
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

t.test('a server that was down is up once somebody has reached it', async (t) => {
  const shown = async () => JSON.parse((await hq.admin.ssh('servers show b --json')).stdout);
  await b.stop();
  t.match(await hq.admin.ssh('servers sync b'), { status: 6 });
  t.match(await shown(), { state: 'down', error: /can't be reached/ });
  t.match(await hq.admin.ssh('push acme/app --to b'), { status: 6 });
  await b.restart();

  t.match(await hq.admin.ssh('push acme/app --to b --dry-run'), { status: 0 });
  t.match(await shown(), { state: 'down' }, 'a dry run notes nothing');
  t.match(await push(), { result: 'up-to-date' });
  t.match(await shown(), { state: 'up', error: null });
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
  const why = /^acme\/app: held on b: much would be deleted .*--allow-shrink$/m;
  t.match(held, { status: 5, stdout: /"result":"held"/, stderr: why });
  t.match(JSON.parse((await hq.admin.ssh('servers list --json')).stdout), [{ state: 'held' }]);
  const there = async () => JSON.parse((await b.admin.ssh('servers list --json')).stdout);
  t.match(await there(), [{ state: 'held', error: /much would be deleted/ }]);
  t.match(await run(b, 'pull acme/app --from hq --allow-shrink'), { result: 'updated' });

  t.match(await there(), [{ state: /up|unknown/, error: null }]);
  t.equal(await refsOf(b), await refsOf(hq));
  t.match(await push(), { result: 'up-to-date' });
});

t.test('where every repository gets the same no, the status is of that no', async (t) => {
  for (const name of ['one', 'two']) await b.admin.ssh(`init bea/${name}`);
  const answer = await b.admin.ssh('push bea/one bea/two --to hq --json');
  const code = /"code":"denied","message":"2 things failed"/;
  t.match(answer, { status: 4, stdout: /"result":"failed".*"result":"failed"/, stderr: code });
  for (const name of ['one', 'two']) await b.admin.ssh(`repo delete bea/${name} --yes`);
});

t.test('a dry run tells what would go, and sends nothing', async (t) => {
  await commit('three');
  await git(`push -q ${url} main`);
  const before = await refsOf(b);

  t.match(await run(hq, 'push acme/app --to b --dry-run'), { result: 'updated', refs_updated: 1 });

  t.equal(await refsOf(b), before);
  t.match(await run(b, 'pull acme/app --from hq'), { result: 'updated', refs_updated: 1 });
});

t.test('what was sent and is not taken does not wait for the end of the connection', async (t) => {
  const tree = (await git('rev-parse HEAD^{tree}')).stdout.trim();
  const who = 'Ada <ada@localhost> 01 +0000';
  const commit = `tree ${tree}\nauthor ${who}\ncommitter ${who}\n\nx\n`;
  const write = ['hash-object', '-w', '--literally', '-t', 'commit', '--stdin'];
  const bad = (await must('git', ['-C', dir(hq), ...write], { stdin: commit })).stdout.trim();
  await must('git', ['-C', dir(hq), 'update-ref', 'refs/heads/bad', bad]);
  const before = await refsOf(b);

  const refused = await b.admin.ssh('pull acme/app --from hq');
  t.match(refused, { status: 7, stderr: /not taken: .*nothing was changed/ });

  t.strictSame(readdirSync(join(hq.dataDir, 'incoming')), []);
  t.equal(await refsOf(b), before);
  await must('git', ['-C', dir(hq), 'update-ref', '-d', 'refs/heads/bad']);
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

t.test('mirrors of a main that is removed are ordinary repositories', async (t) => {
  const bea = b.admin;
  const before = await refsOf(b);

  t.match(await bea.ssh('servers remove hq --yes'), { status: 0 });

  t.equal(await refsOf(b), before);
  const pushed = await bea.git(['push', '-q', bea.url('acme/app'), 'main:theirs'], { cwd: work });
  t.match(pushed, { status: 0, stderr: '' });
  const read = await bea.git(['ls-remote', bea.url('acme/app')]);
  t.match(read, { status: 0, stdout: /refs\/heads\/theirs/, stderr: '' });
  t.match(await hq.admin.ssh('push acme/app --to b'), { status: 4, stderr: /does not know/ });
});
