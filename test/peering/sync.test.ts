import { join } from 'node:path';
import t from 'tap';
import { Follower } from '../support/follower.ts';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' }, { syncs: true });
await hq.admin.ssh('org create acme');
const work = await hq.admin.worktree();
const git = (words: string) => hq.admin.git(words, { cwd: work });
const url = hq.admin.url('acme/app');
const json = async (house: House, words: string) =>
  JSON.parse((await house.admin.ssh(`${words} --json`)).stdout);

/** What happens on the backup, as it happens. */
const follow = () => Follower.ssh(t, b, { person: b.admin, words: 'events --follow --since 0' });
let there = follow();

async function refsOf(house: House, repo = 'acme/app'): Promise<string> {
  const path = join(house.dataDir, 'repositories', `${repo}.git`);
  const args = ['for-each-ref', 'refs/heads', 'refs/tags', '--format=%(objectname) %(refname)'];
  return (await must('git', ['-C', path, ...args])).stdout;
}

async function commit(text: string): Promise<string> {
  await git(`commit -q --allow-empty -m ${text}`);
  return (await git('rev-parse HEAD')).stdout.trim();
}

const moved = (oid: string) => (line: Record<string, unknown>) =>
  line['type'] === 'ref-updated' && line['new'] === oid;
const happened = (type: string, repo: string) => (line: Record<string, unknown>) =>
  line['type'] === type && line['repo'] === repo;

t.test('what is pushed to a main is on its backup at once, and again', async (t) => {
  for (const text of ['one', 'two', 'three']) {
    const oid = await commit(text);
    t.match(await git(`push -q ${url} main`), { status: 0 });
    const begun = performance.now();
    await there.reads(moved(oid));
    t.comment(`${text}: ${Math.round(performance.now() - begun)} ms`);
  }
  t.equal(await refsOf(b), await refsOf(hq));
  await must('git', ['-C', join(b.dataDir, 'repositories/acme/app.git'), 'fsck', '--strict']);
});

t.test('a reader of the mirror is told how old it is, a writer where to push', async (t) => {
  const bea = b.admin;

  const cloned = await bea.git(['clone', '-q', bea.url('acme/app'), 'clone']);
  const pushed = await bea.git(['push', bea.url('acme/app'), 'main:x'], { cwd: work });

  t.match(cloned, { status: 0, stderr: /^mirror of hq, \d+ s behind$/m });
  t.match(pushed, { status: 128, stderr: new RegExp(`push to ssh://cpm@127.0.0.1:${hq.port}/`) });
  const fetched = await hq.admin.git(['ls-remote', url]);
  t.equal(fetched.stderr, '', 'the main itself is no mirror');
});

t.test('name, description, visibility and default branch follow', async (t) => {
  await git(`push -q ${url} main:trunk`);
  await hq.admin.ssh('repo set acme/app --description Works --visibility internal');
  await hq.admin.ssh('repo set acme/app --default-branch trunk');
  await hq.admin.ssh('repo rename acme/app works');
  await there.reads(happened('repo-renamed', 'acme/works'));

  await hq.admin.ssh('servers sync b');
  t.match(await json(b, 'show acme/works'), {
    ...{ name: 'acme/works', description: 'Works', visibility: 'internal' },
    default_branch: 'trunk',
  });
  t.equal(await refsOf(b, 'acme/works'), await refsOf(hq, 'acme/works'));
  await hq.admin.ssh('repo rename acme/works app');
  await there.reads((line) => line['type'] === 'repo-renamed' && line['repo'] === 'acme/app');
});

t.test('a repository that its main deletes rests in the trash of the backup', async (t) => {
  await git(`push -q ${hq.admin.url('acme/old')} main`);
  await there.reads(happened('ref-updated', 'acme/old'));

  await hq.admin.ssh('repo delete acme/old --yes');
  await there.reads((line) => line['type'] === 'repo-deleted');
  t.match(await b.admin.ssh('show acme/old'), { status: 3 });

  await hq.admin.ssh('repo restore acme/old');
  await there.reads((line) => line['type'] === 'repo-restored');
  t.equal(await refsOf(b, 'acme/old'), await refsOf(hq, 'acme/old'));
});

t.test('an idle round is one question, and no record', async (t) => {
  await hq.admin.ssh('servers sync b');
  const before = (await json(hq, 'audit list --action "servers sync"')).length;

  t.match(await hq.admin.ssh('servers sync b --json'), { status: 0, stdout: /^\[\]\s*$/ });

  const after = await json(hq, 'audit list --action "servers sync"');
  t.equal(after.length, before + 1, 'a person asked');
  t.match(await json(hq, 'servers list'), [{ state: 'up', pending: 0, behind_s: 0 }]);
});

t.test('list --server tells what the other has for this one', async (t) => {
  const [row] = await json(b, 'list acme/app --server hq');
  t.match(row, { name: 'acme/app', right: 'read', refs: 2 });
  const away = await hq.admin.ssh('list --server b --namespace acme');
  t.match(away, { status: 0, stdout: /^acme\/app\t.*write/m });
});

t.test('what somebody wrote on the disk past cpm goes out like a push', async (t) => {
  const path = join(hq.dataDir, 'repositories/acme/app.git');
  const oid = (await git('rev-parse HEAD')).stdout.trim();
  await must('git', ['-C', path, 'update-ref', 'refs/heads/by-hand', oid]);

  await hq.restart();

  await there.reads((line) => line['ref'] === 'refs/heads/by-hand');
  const [row] = await json(hq, 'repo history acme/app by-hand');
  t.match(row, { action: 'external' });
});

t.test('a burst of pushes takes few runs', async (t) => {
  const oids: string[] = [];
  for (let at = 0; at < 6; at += 1) {
    oids.push(await commit(`burst-${at}`));
    await git(`push -q ${url} main`);
  }
  await there.reads(moved(oids.at(-1) ?? ''));
  t.equal(await refsOf(b), await refsOf(hq));
});

t.test('a backup that is away gets all once it is back, without being asked', async (t) => {
  await b.stop();
  const oid = await commit('away');
  await git(`push -q ${url} main`);
  t.match(await hq.admin.ssh('servers sync b'), { status: 6, stderr: /can't be reached/ });
  t.match(await json(hq, 'servers list'), [{ state: 'down', pending: 1 }]);
  t.match(await json(hq, 'show acme/app'), { sync: [{ server: 'b' }] });

  await b.restart();
  there = follow();

  await there.reads(moved(oid));
  t.match(await json(hq, 'servers list'), [{ state: 'up' }]);
});

t.test('a main that dies after a push has lost nothing of what is to be sent', async (t) => {
  await b.stop();
  const oid = await commit('dies');
  await git(`push -q ${url} main`);
  // Four times in a row: it would be left alone for half a minute and longer.
  for (let at = 0; at < 3; at += 1) await hq.admin.ssh('servers sync b');
  await hq.kill();
  await b.restart();
  there = follow();
  // Nor does the backup ask by itself.
  await b.admin.ssh('config set sync.concurrency 0');
  await hq.restart();

  await there.reads(moved(oid));
  t.equal(await refsOf(b), await refsOf(hq));
  await b.admin.ssh('config unset sync.concurrency');
});

t.test('many deletions at once wait until somebody looks', async (t) => {
  const names = ['one', 'two', 'three', 'four'].map((each) => `acme/${each}`);
  for (const name of names) await git(`push -q ${hq.admin.url(name)} main`);
  for (const name of names) await there.reads(happened('ref-updated', name));

  for (const name of names) await hq.admin.ssh(`repo delete ${name} --yes`);
  await hq.admin.ssh('servers sync b');

  t.match(await json(hq, 'servers list'), [{ state: 'held', error: /deletes many repositories/ }]);
  const left = (await json(b, 'list')).map(({ name }: { name: string }) => name);
  t.ok(left.length >= 4, left.join(' '));
  t.match(await b.admin.ssh('servers sync hq --allow-shrink'), { status: 0 });
  t.same(
    (await json(b, 'list')).map(({ name }: { name: string }) => name),
    ['acme/app', 'acme/old'],
  );
});

t.test('people and rights of the main reach a backup that follows it at once', async (t) => {
  t.match(await b.admin.ssh('servers follow hq --identities'), { status: 0 });
  const cy = await hq.person('cy');
  await hq.admin.ssh('repo access grant acme/app cy read');

  const seq = there.lines.length;
  const isNews = (line: Record<string, unknown>) =>
    line['type'] === 'log-taken' && there.lines.indexOf(line) >= seq;
  await there.reads(isNews);

  await hq.admin.ssh('servers sync b');
  t.match(await cy.git(['clone', '-q', b.admin.url('acme/app'), 'from-b']), { status: 0 });
});

t.test('the clock alone brings what a main had alone, once it is back', async (t) => {
  await b.stop();
  const oid = await commit('alone');
  await git(`push -q ${url} HEAD:refs/heads/alone`);
  await hq.stop();
  await b.restart();
  t.match(await b.admin.ssh('servers promote hq --force --yes'), { status: 0 });
  there = follow();

  await hq.restart();

  await there.reads(happened('conflict-opened', 'acme/app'));
  t.match(await json(b, 'conflicts list acme/app'), [
    { ref: 'refs/heads/alone', server: 'hq', local: null, remote: oid },
  ]);
  const refused = await git(`push -q ${url} HEAD:refs/heads/more`);
  t.match(refused, { status: 128, stderr: new RegExp(`push to ssh://cpm@127.0.0.1:${b.port}/`) });
});
