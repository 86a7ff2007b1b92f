import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';
import { schemaFaults } from '../support/schema.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' }, { config: '' });
const ada = hq.admin;
const work = await ada.worktree();
const git = (words: string) => ada.git(words, { cwd: work });
const url = ada.url('acme/app');
const [ana, bo] = await Promise.all([hq.person('ana'), hq.person('bo')]);
/** Somebody of the backup's own, called as one of the main's. */
const otherBo = await b.person('bo');

const json = async (who: Person, words: string) => {
  const { stdout, stderr } = await who.ssh(`${words} --json`);
  if (stdout === '') throw new Error(`${words}: ${stderr}`);
  return JSON.parse(stdout);
};
const follow = () => json(b.admin, 'servers follow hq');
const dir = (house: House) => join(house.dataDir, 'repositories', 'acme', 'app.git');
const there = (person: Person) => person.at(b);

await ada.ssh('org create acme');
await ada.ssh('org member add acme ana');
await ada.ssh('org member add acme bo');
await ada.ssh('org team add acme devs bo');
await ada.ssh('init acme/app --description Works');
await ada.ssh('repo access grant acme/app team:acme/devs write');
await ada.ssh('repo rules add acme/app main --deny force');
await ada.ssh('repo alias add Old/Path acme/app');
await git(`push -q ${url} main main:dev`);
await git('commit -q --amend --allow-empty -m forced');
await git(`push -q -f ${url} HEAD:dev`);

t.test(
  'S19 identities come from a main alone, and only once somebody here has said so',
  async (t) => {
    await hq.admin.ssh('push acme/app --to b');
    t.match(await there(ana).ssh('whoami'), { status: 255 });
    t.match(await hq.admin.ssh('servers follow b'), { status: 4, stderr: /no main/ });
    t.match(await b.admin.ssh('servers follow nosuch'), { status: 3 });

    t.match(await json(b.admin, 'servers follow hq --identities --dry-run'), { changed: true });
    t.match(await there(ana).ssh('whoami'), { status: 255 });
    const answer = await json(b.admin, 'servers follow hq --identities');

    t.match(answer, { changed: true, identities: true, term: 1, epoch: 1, waiting: [] });
    t.match(answer.mapped, [{ kind: 'user', called: 'bo', name: 'bo-hq', kept: false }]);
    const command = commands.find(({ words }) => words === 'servers follow');
    t.same(command && schemaFaults(command.answer, answer), []);
    t.match(await follow(), { changed: false, entries: 0 });
  },
);

t.test('people read from the backup with the keys and rights they have on the main', async (t) => {
  const clone = await there(ana).git(['clone', '-q', there(ana).url('acme/app'), 'there']);
  t.match(clone, { status: 0 });
  t.match(await json(there(ana), 'show acme/app'), { description: 'Works', right: 'read' });
  t.match(await json(there(bo), 'show acme/app'), { right: 'write' });
  t.match(await json(there(bo), 'whoami'), { user: 'bo-hq' });
  t.match(await otherBo.ssh('show acme/app'), { status: 3 }, 'who is only called so has nothing');
  t.match(await json(ada.at(b), 'repo rules list acme/app'), [
    { pattern: 'main', deny: ['force'] },
  ]);
  t.match(await there(ana).ssh('show Old/Path'), { status: 0 });
});

t.test('a push to the backup is refused with the address of the main', async (t) => {
  const pushed = await there(bo).git(['push', there(bo).url('acme/app'), 'HEAD:x'], { cwd: work });

  t.match(pushed, { status: 128, stderr: new RegExp(`push to ssh://cpm@127.0.0.1:${hq.port}/`) });
});

t.test('what is followed is not changed here: it is refused with where to do it', async (t) => {
  const words = [
    'repo access grant acme/app bo read',
    'repo set acme/app --description Mine',
    'repo delete acme/app --yes',
    'org member add acme bea',
    'user disable ana',
    'init acme/own',
  ];
  for (const each of words) {
    t.match(await b.admin.ssh(each), { status: 4, stderr: /kept as hq has it|mirror of hq/ }, each);
  }
  t.match(await b.admin.ssh('org create own'), { status: 0 });
});

t.test(
  'history, undo values and audit heads are there, values that never lived there too',
  async (t) => {
    const history = 'repo history acme/app';
    t.same(await json(ada.at(b), history), await json(ada, history));
    const replaced = (await json(ada, `${history} dev`)).find(
      ({ until }: { until: string | null }) => until !== null,
    );

    await must('git', ['-C', dir(b), 'cat-file', '-e', replaced.oid]);
    const held = await must('git', ['-C', dir(b), 'for-each-ref', 'refs/cpm/archive']);
    t.match(held.stdout, replaced.oid);
  },
);

t.test('a backup keeps what was set aside until its operator lets it go', async (t) => {
  const held = async () =>
    (await must('git', ['-C', dir(b), 'for-each-ref', 'refs/cpm/archive'])).stdout;
  const asOperator = async (words: string) => {
    const { stdout, stderr } = await b.operator(words);
    t.not(stdout, '', stderr);
    return JSON.parse(stdout);
  };
  await b.operator('config set archive.keep 1s');
  const prune = 'repo maintain acme/app --prune-archive --json';

  t.match(await json(b.admin, 'repo maintain acme/app'), { expired_tips: 0 });
  t.match(await b.admin.ssh(prune), { status: 4, stderr: /only the operator/ });
  t.match(await asOperator(`${prune} --dry-run`), { expired_tips: 1 });
  t.not(await held(), '');
  t.match(await asOperator(prune), { expired_tips: 1 });

  t.equal(await held(), '');
  t.match(await json(b.admin, 'audit list --action "repo maintain" --limit 1'), [
    { principal: 'operator', target: 'acme/app', detail: { prune_archive: true, expired_tips: 1 } },
  ]);
  await b.operator('config unset archive.keep');
  t.match(await follow(), { changed: false }, 'and it does not come back');
  t.equal(await held(), '');
});

t.test('what is set aside before it was sent comes with what the main sends', async (t) => {
  const aside: string[] = [];
  for (const text of ['once', 'twice']) {
    await git(`commit -q --amend --allow-empty -m ${text}`);
    aside.push((await git('rev-parse HEAD')).stdout.trim());
    await git(`push -q -f ${url} HEAD:brief`);
  }
  await git(`push -q ${url} :brief`);

  t.match(await hq.admin.ssh('push acme/app --to b'), { status: 0, stderr: '' });

  const held = await must('git', ['-C', dir(b), 'for-each-ref', 'refs/cpm/archive']);
  for (const oid of aside) t.match(held.stdout, oid);
});

t.test('what a crash left undone of the log is done at the next meeting', async (t) => {
  const { id } = await json(ada, 'show acme/app');
  const [{ oid }] = (await json(ada, 'repo history acme/app dev')).filter(
    ({ until }: { until: string | null }) => until !== null,
  );
  const db = new Sqlite(join(b.dataDir, 'cpm.db'));
  t.teardown(() => db.close());
  const wish = db.prepare('INSERT INTO followed_wish SELECT id, 8, ?, ?, NULL FROM server');
  wish.run(`objects:${id}`, JSON.stringify([oid]));

  t.match(await b.admin.ssh('servers sync hq'), { status: 0, stderr: '' });

  t.same(db.prepare('SELECT * FROM followed_wish').all(), []);
  const held = await must('git', ['-C', dir(b), 'for-each-ref', 'refs/cpm/archive']);
  t.match(held.stdout, oid);
});

t.test('rights, names and visibility that change on the main change on the backup', async (t) => {
  await ada.ssh('org team remove acme devs bo');
  await ada.ssh('repo rename acme/app acme/tool');
  await ada.ssh('repo set acme/tool --visibility internal --description Tool');
  await ada.ssh('user rename ana anna');
  await ada.ssh('init acme/late');

  await follow();

  t.match(await json(there(bo), 'show acme/tool'), { description: 'Tool', right: 'read' });
  t.match(await json(there(ana), 'whoami'), { user: 'anna' });
  t.match(await there(ana).ssh('show acme/app'), { status: 0 }, 'the old name leads to it');
  t.match(await json(there(ana), 'list acme/*'), [{ name: 'acme/late' }, { name: 'acme/tool' }]);
  await ada.ssh('repo rename acme/tool acme/app');
  await ada.ssh('repo delete acme/late --yes');
  await follow();
  t.match(await json(there(ana), 'list acme/*'), [{ name: 'acme/app' }]);
});

t.test('a key revoked on the main is refused on the backup, and stays so', async (t) => {
  await ada.ssh(`sshkey revoke ${ana.key.fingerprint} --yes`);
  await ada.ssh('user disable bo');

  await follow();

  t.match(await there(ana).ssh('whoami'), { status: 255 });
  t.match(await there(bo).ssh('whoami'), { status: 255 });
  t.match(await b.admin.ssh(`sshkey add - --user bea`, { stdin: ana.key.line }), { status: 5 });
  await ada.ssh('user enable bo');
  await follow();
  t.match(await there(bo).ssh('whoami'), { status: 0 });
});

t.test('S19 one site admin of the backup stays as he is, whatever the main says', async (t) => {
  t.match(await json(b.admin, 'whoami'), { user: 'bea', admin: true });
  t.match(await b.operator('user show bea'), { status: 0 });
});

t.test('many deletions that the log tells of wait until somebody looks', async (t) => {
  const names = ['one', 'two', 'three'].map((each) => `acme/${each}`);
  for (const name of names) await ada.ssh(`init ${name}`);
  await follow();
  for (const name of names) await ada.ssh(`repo delete ${name} --yes`);
  t.match(await follow(), { waiting: [/3 repositories would go at once/] });

  t.match(await b.admin.ssh('servers sync hq --allow-shrink'), { status: 0 });

  t.match(await json(ada.at(b), 'list acme/*'), [{ name: 'acme/app' }]);
  t.match(await follow(), { waiting: [] });
});

t.test('following is on the record, and told of in events', async (t) => {
  const rows = await json(b.admin, 'audit list --action "servers follow"');
  t.match(rows[0], { principal: 'user:bea', target: 'hq', outcome: 'ok' });
  const events = (await b.admin.ssh('events --since 1')).stdout.split('\n').filter(Boolean);
  const types = new Set(events.map((line) => JSON.parse(line).type));
  t.same(
    ['server-followed', 'log-taken'].filter((type) => !types.has(type)),
    [],
  );
});
