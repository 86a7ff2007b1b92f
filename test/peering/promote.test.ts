import { randomBytes } from 'node:crypto';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import { quarantineIn } from '../support/appears.ts';
import { Follower } from '../support/follower.ts';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { pauseAfter } from '../support/pause.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';
import { schemaFaults } from '../support/schema.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
const ada = hq.admin;
const work = await ada.worktree();
const ana = await hq.person('ana');
const dir = (house: House) => join(house.dataDir, 'repositories', 'acme', 'app.git');

await ada.ssh('org create acme');
await ada.ssh('org member add acme ana');
await ada.ssh('init acme/app --description Works');
await ada.ssh('repo access grant acme/app ana write');
await commit('one');
await push(hq, ada);
await ada.ssh('push acme/app --to b');
await b.admin.ssh('servers follow hq --identities');

async function commit(text: string): Promise<string> {
  await ada.git(['commit', '-q', '--allow-empty', '-m', text], { cwd: work });
  return (await ada.git(['rev-parse', 'HEAD'], { cwd: work })).stdout.trim();
}

/** A push of what the working tree is at. */
function push(house: House, person: Person, to = 'main') {
  const url = person.at(house).url('acme/app');
  return person.at(house).git(['push', '-q', url, `HEAD:${to}`], { cwd: work });
}

async function tip(house: House, ref = 'main'): Promise<string> {
  return (await must('git', ['-C', dir(house), 'rev-parse', `refs/heads/${ref}`])).stdout.trim();
}

const json = async (person: Person, words: string) => {
  const { stdout, stderr } = await person.ssh(`${words} --json`);
  if (stdout === '') throw new Error(`${words}: ${stderr}`);
  return JSON.parse(stdout);
};

/** Exactly one of the two takes pushes; the other one says where to push. */
async function leads(t: { match: typeof import('tap').t.match }, leader: House, other: House) {
  await commit('more');
  const at = new RegExp(`push to ssh://cpm@127.0.0.1:${leader.port}/acme/app`);
  t.match(await push(other, ana), { status: 128, stderr: at });
  t.match(await push(leader, ana), { status: 0, stderr: '' });
}

t.test('a hand-over that can not be carried to its end leaves the main the main', async (t) => {
  await must('git', ['-C', dir(b), 'update-ref', 'refs/heads/by-hand', await tip(b)]);
  t.match(await ada.ssh('servers promote b'), { status: 2, stderr: /--yes/ });
  const differs = { status: 5, stderr: /refs acme\/app has other refs here/ };
  t.match(await ada.ssh('servers promote b --yes'), differs);
  t.match(await ada.ssh('servers promote b --yes --dry-run'), differs);
  await must('git', ['-C', dir(b), 'update-ref', '-d', 'refs/heads/by-hand']);
  t.match(await b.admin.ssh('servers promote hq --yes'), { status: 5, stderr: /hq leads/ });
  t.match(await ana.ssh('servers promote b --yes'), { status: 4 });
  t.match(await ada.ssh('servers promote x --yes'), { status: 3 });
  await b.stop();
  t.match(await ada.ssh('servers promote b --yes'), { status: 6 });
  await b.restart();

  await leads(t, hq, b);
});

t.test(
  'a main hands over with nothing pending, and is the backup of its backup then',
  async (t) => {
    const newest = await commit('not sent yet');
    t.match(await push(hq, ana), { status: 0, stderr: '' });
    await ada.ssh('org team add acme devs ana');
    t.match(await json(ada, 'servers promote b --yes --dry-run').catch((error) => error), {
      message: /acme/,
    });

    const answer = await json(ada, 'servers promote b --yes');

    t.match(answer, { changed: true, server: 'b', term: 2 });
    const command = commands.find(({ words }) => words === 'servers promote');
    t.same(command && schemaFaults(command.answer, answer), []);
    t.equal(await tip(b), newest);
    await leads(t, b, hq);
    t.match(await ada.ssh('servers list'), { stdout: /b\s.*main/ });
    t.match(await b.admin.ssh('servers list'), { stdout: /hq\s.*backup/ });
  },
);

t.test(
  'what changes on the new main reaches the old one, which changes nothing itself',
  async (t) => {
    const kept = { status: 4, stderr: /kept as b has it|mirror of b/ };
    for (const words of ['repo set acme/app --description Mine', 'org member remove acme ana'])
      t.match(await ada.ssh(words), kept, words);
    await ada.at(b).ssh('repo set acme/app --description Ours');
    await ada.at(b).ssh('init acme/late');
    await b.person('cy');

    t.match(await b.admin.ssh('servers sync hq'), { status: 0, stderr: '' });

    t.equal(await tip(hq), await tip(b));
    t.match(await json(ada, 'show acme/app'), { description: 'Ours' });
    t.match(await ada.ssh('show acme/late'), { status: 0, stderr: '' });
    t.match(await ada.ssh('user show cy'), { status: 0, stderr: '' });
    t.match(await b.admin.ssh('servers promote hq --rehearse'), { status: 0, stderr: '' });
    t.match(await ada.ssh('servers promote b --rehearse'), { status: 0, stderr: '' });
  },
);

t.test('a crash between the words of the two leaves one that takes pushes, or none', async (t) => {
  const file = join(b.dataDir, 'cpm.db');
  await b.stop();
  edit(file, "INSERT INTO lead SELECT id, 'draining', '', 3, 1, '' FROM server");
  await b.restart();
  await leads(t, b, hq);

  await b.stop();
  edit(file, "INSERT INTO lead SELECT id, 'giving', '', 3, 1, '' FROM server");
  copyFileSync(file, `${file}.asked`);
  await b.restart();
  await commit('for nobody');
  for (const house of [b, hq]) t.match(await push(house, ana), { status: 128 }, 'none');
  const untold = /nobody writes here until it has.*\n?.*: servers promote hq --yes/;
  t.match(await push(b, ana), { stderr: untold });
  t.match(await ada.at(b).ssh('user disable ana'), { status: 4, stderr: untold });
  for (const words of ['servers list', 'servers status'])
    t.match(await json(b.admin, words), [{ name: 'hq', error: untold }], words);

  t.match(await json(b.admin, 'servers promote hq --yes'), { term: 3 });
  await leads(t, hq, b);
  await b.stop();
  for (const rest of ['', '-wal', '-shm']) rmSync(`${file}${rest}`, { force: true });
  copyFileSync(`${file}.asked`, file);
  await b.restart();
  await leads(t, hq, b);
  t.match(await json(b.admin, 'servers promote hq --yes'), { changed: true, term: 3 });
  await leads(t, hq, b);
});

/** What a crash would have left. */
function edit(file: string, sql: string): void {
  const db = new Sqlite(file);
  db.exec(sql.replace('INSERT INTO', 'INSERT OR REPLACE INTO'));
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
}

t.test('the old main leads again once it was handed the lead, and has all of it', async (t) => {
  t.match(await ada.ssh('servers sync b'), { status: 0, stderr: '' });
  t.match(await ada.ssh('servers promote b --rehearse'), { status: 0, stderr: '' });
  t.equal(await tip(b), await tip(hq));
  const history = 'repo history acme/app';
  t.same(await json(ada.at(b), history), await json(ada, history));
});

t.test('a push whose pack comes while the lead goes is refused with the new address', async (t) => {
  writeFileSync(join(work, 'noise'), randomBytes(512 * 1024));
  await ada.git('add noise', { cwd: work });
  await ada.git('commit -q -m noise', { cwd: work });
  const oid = (await ada.git('rev-parse HEAD', { cwd: work })).stdout.trim();
  const { env, reached, resume } = await pauseAfter(t, ana, 256 * 1024);
  const words = ['push', '-q', ana.url('acme/app'), 'HEAD:refs/heads/late'];
  const pushing = ana.git(words, { cwd: work, env });
  await reached;
  await quarantineIn(dir(hq));
  const { seq } = JSON.parse(
    (await ada.ssh('events --since 0')).stdout.trim().split('\n').at(-1) ?? '',
  );
  const news = Follower.ssh(t, hq, { person: ada, words: `events --follow --since ${seq}` });

  const promoting = ada.ssh('servers promote b --yes');
  await news.reads(({ type }) => type === 'server-lead-drained');
  resume();

  const [pushed, promoted] = await Promise.all([pushing, promoting]);
  t.match(promoted, { status: 0, stderr: '' });
  const at = new RegExp(`push to ssh://cpm@127.0.0.1:${b.port}/acme/app`);
  t.match(pushed, { status: 1, stderr: at });
  const late = (house: House) => tip(house, 'late').catch(() => undefined);
  t.same([await late(hq), await late(b)], [undefined, undefined]);
  words[2] = ana.at(b).url('acme/app');
  t.match(await ana.at(b).git(words, { cwd: work }), { status: 0, stderr: '' });
  t.equal(await late(b), oid);
  await leads(t, b, hq);
});

t.test('what was set aside between two syncs goes along with the lead', async (t) => {
  const at = ada.at(b);
  await at.ssh('init acme/gone');
  const force = (name: string) =>
    at.git(['push', '-q', '-f', at.url(name), 'HEAD:refs/heads/side'], { cwd: work });
  await force('acme/gone');
  await b.admin.ssh('servers sync hq');
  const before = await tip(b);
  const aside: string[] = [];
  for (const text of ['once', 'twice', 'thrice']) {
    await ada.git(['commit', '-q', '--amend', '--allow-empty', '-m', text], { cwd: work });
    aside.push((await ada.git(['rev-parse', 'HEAD'], { cwd: work })).stdout.trim());
    for (const name of ['acme/app', 'acme/gone']) await force(name);
  }
  aside.pop();
  t.match(await at.ssh('repo delete acme/gone --yes'), { status: 0 });

  t.match(await b.admin.ssh('servers promote hq --yes'), { status: 0, stderr: '' });

  const kept = await must('git', ['-C', dir(hq), 'for-each-ref', 'refs/cpm/archive']);
  for (const oid of aside) {
    await must('git', ['-C', dir(hq), 'cat-file', '-e', oid]);
    t.match(kept.stdout, oid);
  }
  await ada.git(['reset', '-q', '--hard', before], { cwd: work });
  await leads(t, hq, b);
});
