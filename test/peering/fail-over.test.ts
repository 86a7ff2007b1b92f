import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { House } from '../support/house.ts';
import { introduce, openPair } from '../support/pair.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
const c = await House.open(t, { admin: 'cleo' });
await introduce(hq, c, { name: 'c', role: 'backup' });
await introduce(c, hq, { name: 'hq', role: 'main' });
const ada = hq.admin;
const ana = await hq.person('ana');
const work = await ada.worktree();
const dir = (house: House) => join(house.dataDir, 'repositories', 'acme', 'app.git');
const git = (...words: string[]) => ada.git(words, { cwd: work });

const json = async (person: Person, words: string) => {
  const { stdout, stderr } = await person.ssh(`${words} --json`);
  if (stdout === '') throw new Error(`${words}: ${stderr}`);
  return JSON.parse(stdout);
};

/** A commit of its own on a branch, pushed to one of the servers. @returns its oid */
async function change(house: House, branch: string, from = 'base'): Promise<string> {
  await git('checkout', '-q', '--detach', from);
  await git('commit', '-q', '--allow-empty', '-m', `${branch} ${Math.random()}`);
  const { status, stderr } = await push(house, branch);
  if (status !== 0) throw new Error(`${branch} was not pushed: ${stderr}`);
  return (await git('rev-parse', 'HEAD')).stdout.trim();
}

function push(house: House, branch: string) {
  const there = ana.at(house);
  return there.git(['push', '-q', there.url('acme/app'), `HEAD:refs/heads/${branch}`], {
    cwd: work,
  });
}

async function tip(house: House, ref: string): Promise<string> {
  return (await must('git', ['-C', dir(house), 'rev-parse', ref])).stdout.trim();
}

await ada.ssh('org create acme');
await ada.ssh('init acme/app');
await ada.ssh('repo access grant acme/app ana write');
await git('tag', 'base', 'HEAD');
for (const branch of ['main', 'still', 'ahead']) await change(hq, branch);
/** So many are deleted at once later that nobody takes it over unseen. */
const many = Array.from({ length: 12 }, (_, nth) => `many-${nth}`);
const refs = many.map((name) => `HEAD:refs/heads/${name}`);
await ana.git(['push', '-q', ana.url('acme/app'), ...refs], { cwd: work });
for (const name of ['b', 'c']) await ada.ssh(`push acme/app --to ${name}`);
for (const house of [b, c]) await house.admin.ssh('servers follow hq --identities');

/** What a crash between two steps leaves of the log on the backup. */
async function leaveUndone(): Promise<void> {
  const { id } = await json(ada.at(b), 'show acme/app');
  const db = new Sqlite(join(b.dataDir, 'cpm.db'));
  const add = db.prepare('INSERT INTO followed_wish SELECT id, ?, ?, ?, NULL FROM server');
  add.run(1, `user:${id}`, '{"name":"cy"}');
  add.run(5, 'repo:late', '{"namespace":"acme","name":"late","deleted_at":null}');
  add.run(8, `objects:${id}`, '[]');
  add.run(9, `purge:${id}:${await tip(b, 'refs/heads/main')}`, '{}');
  db.close();
}

/** What only the main had when another took over from it, by branch. */
const alone: Record<string, string> = {};
let newest = '';

const conflicts = async () => {
  const rows = await json(b.admin, 'conflicts list acme/app');
  const found = rows.map((row: Record<string, string>) => [row['ref'], row]);
  return Object.fromEntries(found) as Record<string, Record<string, string | null>>;
};

t.test('a backup takes over from a main that is away, and says what it lacks', async (t) => {
  t.match(await b.admin.ssh('servers promote hq --force'), { status: 2, stderr: /--yes/ });
  t.match(await ada.ssh('servers promote b --force --yes'), { status: 2, stderr: /away/ });
  alone['main'] = await change(hq, 'main', await tip(hq, 'refs/heads/main'));
  alone['ahead'] = await change(hq, 'ahead', await tip(hq, 'refs/heads/ahead'));
  alone['new'] = await change(hq, 'new');
  const url = ana.url('acme/app');
  await ana.git(['push', '-q', url, ...many.map((name) => `:refs/heads/${name}`)], { cwd: work });
  t.match(await b.admin.ssh('servers sync hq'), { status: 5 });
  await hq.stop();
  await leaveUndone();

  const answer = await json(b.admin, 'servers promote hq --force --yes');

  t.match(answer, { changed: true, server: 'hq', term: 2, forced: true, last_met_at: /^20/ });
  t.match(answer.not_received, [
    { name: 'acme/app', since: /^20/ },
    { name: 'cy', since: null },
    { name: 'acme/late', since: null },
    { name: 'values that were set aside in acme/app', since: null },
    { name: /^the purge of [0-9a-f]{12} from acme\/app$/, since: null },
  ]);
  newest = await change(b, 'main', await tip(b, 'refs/heads/main'));
  t.match(await b.admin.ssh('servers promote hq --force --yes'), { status: 2, stderr: /away/ });
});

t.test('a main that learns of a higher term takes no more pushes', async (t) => {
  await hq.restart();
  alone['late'] = await change(hq, 'late');

  t.match(await b.admin.ssh('servers test hq'), { status: 0 });

  await git('checkout', '-q', '--detach', 'base');
  const refused = { status: 128, stderr: new RegExp(`push to ssh://cpm@127.0.0.1:${b.port}/`) };
  t.match(await push(hq, 'later'), refused);
  for (const words of ['repo set acme/app --description x', 'init acme/later', 'user disable ana'])
    t.match(await ada.ssh(words), { status: 4, stderr: /kept as b has it|mirror of b/ }, words);
  await hq.restart();
  t.match(await push(hq, 'later'), refused, 'after a restart too');
});

t.test('what only it had comes back as conflicts, and moves nothing', async (t) => {
  t.match(await b.admin.ssh('servers sync hq'), {
    status: 5,
    stderr:
      /^acme\/app \S+: .*; both kept, .*\n(.*\n)*\d+ more in conflict\nhint: cpm conflicts list$/m,
  });
  t.match(await b.admin.ssh('push acme/app --to hq'), { status: 4, stderr: /does not follow you/ });

  const found = await conflicts();
  const gone = many.map((name) => `refs/heads/${name}`);
  const names = Object.keys(alone).map((name) => `refs/heads/${name}`);
  t.same(Object.keys(found).sort(), [...names, ...gone].sort());
  for (const [branch, oid] of Object.entries(alone)) {
    t.match(found[`refs/heads/${branch}`], { server: 'hq', remote: oid }, branch);
    await must('git', ['-C', dir(b), 'cat-file', '-e', oid]);
  }
  t.match(found['refs/heads/main'], { local: newest, kind: 'diverged' });
  t.match(found['refs/heads/new'], { local: null });
  t.match(found[gone[0] ?? ''], { remote: null, kind: 'modify_delete' });
  t.equal(await tip(b, 'refs/heads/main'), newest);
});

t.test('it follows once somebody there says so, and nothing of it is lost', async (t) => {
  t.match(await ada.ssh('servers follow b --identities --dry-run'), { status: 0 });
  t.match(await json(ada, 'servers follow b --identities'), { changed: true, term: 2 });

  t.match(await ada.ssh('servers sync b'), { status: 0, stderr: '' });

  t.equal(await tip(hq, 'refs/heads/main'), newest);
  await must('git', ['-C', dir(hq), 'cat-file', '-e', alone['main'] ?? '']);
  t.equal(Object.keys(await conflicts()).length, 16, 'they wait for a person');
  const resolve = (words: string) => b.admin.ssh(`conflicts resolve acme/app ${words}`);
  t.match(await resolve('new --keep remote'), { status: 0 });
  t.match(await resolve('main --keep both'), { status: 0 });
  t.match(await resolve('ahead --keep local'), { status: 0 });
  t.equal(await tip(b, 'refs/heads/new'), alone['new']);
  t.equal(await tip(b, 'refs/heads/conflict/hq/main'), alone['main']);
  await b.admin.ssh('servers sync hq');
  t.equal(await tip(hq, 'refs/heads/new'), alone['new']);
  t.equal(Object.keys(await conflicts()).length, 13);
});

t.test('a third server follows the new main once somebody there says so', async (t) => {
  await introduce(b, c, { name: 'c', role: 'backup' });
  await introduce(c, b, { name: 'b', role: 'main' });
  t.match(await json(c.admin, 'servers follow b'), { changed: true, term: 2, identities: true });

  t.match(await b.admin.ssh('push acme/app --to c'), { status: 0, stderr: '' });

  t.equal(await tip(c, 'refs/heads/main'), newest);
  const at = new RegExp(`push to ssh://cpm@127.0.0.1:${b.port}/`);
  t.match(await push(c, 'x'), { status: 128, stderr: at });
  t.match(await ana.at(c).ssh('show acme/app'), { status: 0 });
  t.match(await b.admin.ssh('servers promote c --rehearse'), { status: 0, stderr: '' });
});

t.test('the old main leads again, and the others follow', async (t) => {
  const refsOf = async (house: House) =>
    (await must('git', ['-C', dir(house), 'for-each-ref', 'refs/heads'])).stdout;
  t.equal(await refsOf(hq), await refsOf(b));
  t.match(await json(b.admin, 'servers promote hq --yes'), { term: 3 });
  t.match(await json(c.admin, 'servers follow hq'), { changed: true, term: 3 });

  newest = await change(hq, 'main', newest);
  for (const name of ['b', 'c']) t.match(await ada.ssh(`servers sync ${name}`), { status: 0 });

  for (const house of [b, c]) t.equal(await tip(house, 'refs/heads/main'), newest);
  for (const name of ['b', 'c']) {
    t.match(await ada.ssh(`servers promote ${name} --rehearse`), { status: 0, stderr: '' }, name);
  }
});
