import { join } from 'node:path';
import t, { type Test } from 'tap';
import { House } from '../support/house.ts';
import { type Person, quoteWords } from '../support/person.ts';
import { type Answer, must, run } from '../support/process.ts';
import { doorOf, json, refused } from './scenario.ts';

const house = await House.open(t, { shares: true });
const { admin } = house;
const ana = await house.person('ana');
const bo = await house.person('bo');
const eve = await house.person('eve');
const operator = { run: house.operator.bind(house) };

interface Row {
  ref: string;
  oid: string | null;
  until: string | null;
  at: string;
  by: string;
  action: string;
}

interface Undone {
  changed: boolean;
  from: string | null;
  to: string | null;
  set_aside: { oid: string; author: string; at: string; subject: string }[];
  set_aside_count: number;
}

const git = async (who: Person, cwd: string, ...words: string[]) =>
  (await must('git', words, { cwd, env: who.gitEnv() })).stdout.trim();

async function commit(who: Person, cwd: string, subject: string): Promise<string> {
  await git(who, cwd, 'commit', '-q', '--allow-empty', '-m', subject);
  return git(who, cwd, 'rev-parse', 'HEAD');
}

await house.operator('org create acme');
for (const grant of ['ana admin', 'bo write', 'eve read']) {
  await house.operator(`org access grant acme ${grant}`);
}
const work = await bo.worktree();
const one = await git(bo, work, 'rev-parse', 'HEAD');
const two = await commit(bo, work, 'two');
await git(bo, work, 'reset', '-q', '--hard', one);
const three = await commit(bo, work, 'three');

/** A repository of acme's whose main went one → two, then was forced to three by somebody. */
async function scene(name: string, who = bo) {
  const repo = `acme/${name}`;
  await admin.ssh(`init ${repo}`);
  const url = who.url(repo);
  await git(who, work, 'push', '-q', url, `${one}:refs/heads/main`);
  await git(who, work, 'push', '-q', url, `${two}:refs/heads/main`);
  const forced = await who.git(['push', '-q', url, `+${three}:main`], { cwd: work });
  return { repo, url, forced };
}

const tipOf = async (repo: string, ref: string) =>
  (await git(admin, admin.home, 'ls-remote', admin.url(repo), ref)).split('\t')[0];

const historyOf = async (line: string) =>
  (await json(doorOf(eve), `repo history ${line}`)) as Row[];

const undone = async (who: Person, line: string) =>
  (await json(doorOf(who), `repo undo ${line}`)) as Undone;

/** The line that a push told, run by a real shell with this person's ssh. */
function runLine(who: Person, told: string): Promise<Answer> {
  const [, line = ''] = /undo: (ssh .*?) *$/m.exec(told) ?? [];
  const ssh = quoteWords(['ssh', ...who.sshOptions(), '-p', String(house.port), 'cpm@127.0.0.1']);
  const real = line.replace(/^ssh (-p \d+ )?\S+/, () => ssh);
  return run('sh', ['-c', real], { env: { HOME: who.home } });
}

t.test('history has every value of a ref: what, until when, by whom, through what', async (t) => {
  const { repo, url } = await scene('values');
  await git(bo, work, 'push', '-q', url, `${three}:refs/heads/topic`);
  await git(bo, work, 'push', '-q', url, ':topic');

  const rows = await historyOf(repo);

  t.match(rows, [
    { ref: 'refs/heads/topic', oid: null, until: null, by: 'user:bo', action: 'git-receive-pack' },
    { ref: 'refs/heads/topic', oid: three, by: 'user:bo' },
    { ref: 'refs/heads/main', oid: three, until: null },
    { ref: 'refs/heads/main', oid: two },
    { ref: 'refs/heads/main', oid: one },
  ]);
  t.equal(rows[1]?.until, rows[0]?.at, 'a value ends when the next one begins');
  t.equal(rows[3]?.until, rows[2]?.at);
  for (const word of ['main', 'refs/heads/main']) {
    t.same(await historyOf(`${repo} ${word}`), rows.slice(2), word);
  }
  const text = await eve.ssh(`repo history ${repo} topic`);
  t.match(text.stdout, /^refs\/heads\/topic\tdeleted\t.*\tuser:bo\tgit-receive-pack\n/);
  t.match(
    await eve.ssh(`repo history ${repo} mai`),
    refused(3, /there never was a ref "mai"/, /repo history/),
  );
  t.match(await eve.ssh(`repo history ${repo} refs/cpm/archive/${two}`), { status: 3 });
  t.match(await eve.ssh(`repo history ${repo} a..b`), refused(2, /is not a ref/));
  const stranger = await house.person('nemo');
  t.match(await stranger.ssh(`repo history ${repo}`), refused(3, /no such repository/));
});

t.test('a tag is found by its name where there is no such branch', async (t) => {
  const { repo, url } = await scene('tags');
  await git(bo, work, 'push', '-q', url, `${three}:refs/tags/v1`, `${one}:refs/tags/main`);

  t.match(await historyOf(`${repo} v1`), [{ ref: 'refs/tags/v1', oid: three }]);
  t.match((await historyOf(`${repo} main`))[0], { ref: 'refs/heads/main' });
  t.match(await historyOf(`${repo} refs/tags/main`), [{ ref: 'refs/tags/main', oid: one }]);
});

t.test('who forces a branch reads what it was, and the line told brings it back', async (t) => {
  const { repo, forced } = await scene('line');

  t.match(forced.stderr, `remote: main was ${two.slice(0, 7)}; undo: ssh -p `);
  t.match(forced.stderr, ` repo undo ${repo} main --yes`);
  t.equal(forced.status, 0);
  const back = await runLine(bo, forced.stderr);
  t.match(back, { status: 0, stdout: /^main was .*set aside: 1 commit\n {2}\w+ three \(bo\)\n/ });
  t.equal(await tipOf(repo, 'main'), two);
  t.match(await historyOf(`${repo} main`), [
    { oid: two, by: 'user:bo', action: 'repo undo' },
    { oid: three },
    { oid: two },
    {},
  ]);
});

t.test('a second undo takes the first back, and a third that one', async (t) => {
  const { repo } = await scene('redo');

  t.match(await undone(bo, `${repo} main --yes`), {
    changed: true,
    from: three,
    to: two,
    set_aside: [{ oid: three, author: 'bo', subject: 'three' }],
    set_aside_count: 1,
  });
  t.match(await undone(bo, `${repo} main --yes`), { from: two, to: three, set_aside_count: 1 });
  t.match(await undone(ana, `${repo} main --yes`), { from: three, to: two });
  const row = await json(operator, `audit list --repo ${repo} --limit 1`);
  t.match(row, [
    {
      action: 'repo undo',
      outcome: 'ok',
      principal: 'user:ana',
      detail: { refs: [{ ref: 'refs/heads/main', old: three, new: two }] },
    },
  ]);
  t.equal(await tipOf(repo, 'main'), two);
});

t.test('S13 with write one may undo the own last forced update, and nothing else', async (t) => {
  const { repo, url } = await scene('own', ana);
  const deny = refused(
    4,
    /you may undo your own last forced update alone \(you are bo/,
    /an admin/,
  );

  t.match(await bo.ssh(`repo undo ${repo} main --yes`), deny, 'ana forced it');
  t.match(await eve.ssh(`repo undo ${repo} main --yes`), refused(4, /you may read it, not write/));
  await git(bo, bo.home, 'clone', '-q', bo.url(repo), 'own');
  const mine = join(bo.home, 'own');
  const four = await commit(bo, mine, 'four');
  await git(bo, mine, 'push', '-q', 'origin', 'main');
  t.match(await bo.ssh(`repo undo ${repo} main --yes`), deny, 'his own, and not forced');
  await git(bo, mine, 'push', '-q', 'origin', `+${one}:main`);
  t.match(await bo.ssh(`repo undo ${repo} main --to ${two} --yes`), deny, 'another value');
  t.match(await bo.ssh(`repo undo ${repo} main --to @2 --yes`), deny);
  t.match(await undone(bo, `${repo} main --to @1 --yes`), { from: one, to: four });
  t.match(await undone(bo, `${repo} main --yes`), { from: four, to: one });
  await git(ana, work, 'push', '-q', url, `+${three}:main`);
  t.match(await bo.ssh(`repo undo ${repo} main --yes`), deny, 'somebody else was there since');
  t.equal(await tipOf(repo, 'main'), three);
});

t.test('an admin brings back any value: by oid, by count, by time', async (t) => {
  const { repo } = await scene('to');
  const at = (await historyOf(`${repo} main`)).find(({ oid }) => oid === two)?.at;
  const to = async (value: string) =>
    (await undone(ana, `${repo} main --to ${value} --dry-run`)).to;

  t.equal(await to('@1'), two);
  t.equal(await to('@2'), one);
  t.equal(await to(one.slice(0, 10)), one);
  t.equal(await to(two.toUpperCase()), two);
  t.equal(await to(at ?? ''), two);
  t.match(await undone(ana, `${repo} main --to ${three} --yes`), { changed: false });
  const refusals: [string, number, RegExp][] = [
    ['@3', 3, /has had 2 earlier values, not 3/],
    ['0'.repeat(40), 3, /never was 0{40}/],
    ['2d', 3, /did not exist at/],
    ['nonsense', 2, /is not a time/],
    ['@0', 2, /is not a time/],
  ];
  for (const [value, status, why] of refusals) {
    const answer = await ana.ssh(`repo undo ${repo} main --to ${value} --yes`);
    t.match(answer, refused(status, why), value);
  }
  t.match(await undone(ana, `${repo} main --to @2 --yes`), { to: one, set_aside_count: 1 });
  t.equal(await tipOf(repo, 'main'), one);
});

t.test('without --yes, and in a dry run, nothing is done', async (t) => {
  const { repo } = await scene('dry');

  t.match(await ana.ssh(`repo undo ${repo} main`), refused(2, /needs --yes/, /--dry-run/));
  t.match(await undone(ana, `${repo} main --dry-run`), {
    changed: true,
    to: two,
    set_aside: [{ oid: three }],
  });
  t.equal(await tipOf(repo, 'main'), three);
  t.equal((await historyOf(`${repo} main`)).length, 3);
});

t.test('a deleted branch comes back, and a created one goes', async (t) => {
  const { repo, url } = await scene('deleted');
  await git(bo, work, 'push', '-q', url, `${three}:refs/heads/topic`);

  const gone = await bo.git(['push', '-q', url, ':topic'], { cwd: work });

  t.match(gone.stderr, `remote: topic was ${three.slice(0, 7)}; undo: ssh `);
  t.match(await runLine(bo, gone.stderr), { status: 0, stdout: /set aside: 0 commits/ });
  t.equal(await tipOf(repo, 'topic'), three);
  t.match(await undone(ana, `${repo} topic --yes`), { from: three, to: null });
  t.equal(await tipOf(repo, 'topic'), '');
  t.match(await undone(ana, `${repo} topic --to @1 --yes`), { from: null, to: three });
  t.equal(await tipOf(repo, 'topic'), three);
  await git(bo, work, 'push', '-q', url, `${three}:refs/heads/fresh`);
  t.match(await bo.ssh(`repo undo ${repo} fresh --yes`), { status: 4 }, 'it was no forced update');
  t.match(await undone(ana, `${repo} fresh --yes`), { to: null, set_aside_count: 0 });
  t.match(await ana.ssh(`repo undo ${repo} fresh --to 1d --yes`), { status: 3 });
});

t.test('the default branch is not undone into nothing', async (t) => {
  await house.operator('init ana/only');
  await git(ana, work, 'push', '-q', ana.url('only'), `${one}:refs/heads/main`);

  t.match(
    await ana.ssh('repo undo only main --yes'),
    refused(4, /ana\/only main: the default branch can not be deleted/),
  );
});

t.test('a line told for a hostile name does what it says and nothing else', async (t) => {
  const { repo, url } = await scene('hostile');
  const names = ["a;id;'", '$(id)', '`id`"&', '-rf', 'refs/heads/x', 'ä', 'x|y>z'];
  for (const name of names) {
    const ref = `refs/heads/${name}`;
    await git(bo, work, 'push', '-q', url, `${three}:${ref}`);
    const { stderr } = await bo.git(['push', '-q', url, `+${one}:${ref}`], { cwd: work });
    t.match(await runLine(bo, stderr), { status: 0 }, stderr);
    t.equal(await tipOf(repo, ref), three, name);
  }
  const odd = 'refs/heads/a\u202eb';
  await git(bo, work, 'push', '-q', url, `${three}:${odd}`);
  const { stderr } = await bo.git(['push', '-q', url, `+${one}:${odd}`], { cwd: work });
  t.match(stderr, /remote: a ref was \w{7}; see: ssh .* repo history acme\/hostile/);
  t.notMatch(stderr, '\u202e');
});

t.test('a push that leaves many values tells of the first ten', async (t) => {
  const { url } = await scene('many');
  const refs = Array.from({ length: 12 }, (_, nth) => `refs/heads/b${nth}`);
  await git(bo, work, 'push', '-q', url, ...refs.map((ref) => `${three}:${ref}`));

  const { stderr } = await bo.git(['push', '-q', url, ...refs.map((ref) => `+${one}:${ref}`)], {
    cwd: work,
  });

  t.equal(stderr.match(/ was \w{7}; undo: /g)?.length, 10);
  t.match(stderr, /and 2 more; see: ssh .* repo history acme\/many/);
});

t.test('a push that only goes forward, or repeats itself, tells nothing', async (t) => {
  const { url } = await scene('quiet');
  await commit(bo, work, 'four');

  t.same((await bo.git(['push', '-q', url, 'main'], { cwd: work })).stderr, '');
  t.same((await bo.git(['push', '-q', url, '+main', 'main:new'], { cwd: work })).stderr, '');
});

/** Git in the repository itself, past cpm. */
const onDisk = async (repo: string, ...words: string[]) =>
  (
    await must('git', words, { cwd: join(house.dataDir, 'repositories', `${repo}.git`) })
  ).stdout.trim();

t.test(
  'what was changed on disk past cpm is found, recorded once, and can be undone',
  async (t) => {
    const { repo } = await scene('external');
    await onDisk(repo, 'update-ref', 'refs/heads/main', one);
    await onDisk(repo, 'update-ref', 'refs/heads/side', two);

    const rows = await historyOf(`${repo} main`);

    t.match(rows[0], { oid: one, by: 'unknown', action: 'external', until: null });
    t.match(await historyOf(`${repo} side`), [{ oid: two, action: 'external' }]);
    t.equal((await historyOf(repo)).length, 5);
    t.match(await undone(ana, `${repo} main --yes`), { from: one, to: three });
    await onDisk(repo, 'update-ref', '-d', 'refs/heads/side');
    t.match((await historyOf(`${repo} side`))[0], { oid: null, action: 'external' });
    t.match(await undone(ana, `${repo} side --yes`), { from: null, to: two });
  },
);

t.test('a push on top of a change past cpm records both', async (t) => {
  const { repo, url } = await scene('beneath');
  await onDisk(repo, 'update-ref', 'refs/heads/main', two);
  await git(bo, work, 'push', '-q', url, `+${one}:main`);

  t.match(await historyOf(`${repo} main`), [
    { oid: one, by: 'user:bo', action: 'git-receive-pack' },
    { oid: two, by: 'unknown', action: 'external' },
    { oid: three },
    { oid: two },
    { oid: one },
  ]);
});

async function mayFetch(t: Test, repo: string, oid: string): Promise<boolean> {
  const folder = t.testdir({});
  await git(eve, folder, 'init', '-q');
  const { status } = await eve.git(['fetch', '-q', eve.url(repo), oid], { cwd: folder });
  return status === 0;
}

t.test(
  'who knows an archived commit may fetch it; nobody is shown it, or may name it',
  async (t) => {
    const { repo } = await scene('fetch');
    const other = await scene('elsewhere');
    const archived = `refs/cpm/archive/${two}`;
    t.equal(await onDisk(repo, 'rev-parse', archived), two);

    t.equal(await mayFetch(t, repo, two), true);
    for (const version of ['0', '1', '2']) {
      const words = ['-c', `protocol.version=${version}`, 'ls-remote', eve.url(repo)];
      const shown = await git(eve, eve.home, ...words);
      t.notMatch(shown, /cpm/, `protocol ${version}`);
      t.notMatch(shown, two);
      const folder = t.testdir({});
      await git(eve, folder, 'init', '-q');
      const fetched = ['-c', `protocol.version=${version}`, 'fetch', '-q', eve.url(repo)];
      t.match(await eve.git([...fetched, two], { cwd: folder }), { status: 0 }, 'by its id');
      for (const named of [archived, 'refs/cpm/*:refs/x/*', `+${archived}:refs/heads/x`]) {
        await eve.git([...fetched, named], { cwd: folder });
        t.equal(await git(eve, folder, 'for-each-ref', 'refs/x', 'refs/heads'), '', named);
      }
    }
    t.not((await eve.ssh(`git-upload-archive ${repo}`)).status, 0);
    const foreign = await commit(bo, work, 'of another repository');
    await git(bo, work, 'push', '-q', other.url, 'HEAD:refs/heads/foreign');
    t.equal(await mayFetch(t, repo, foreign), false, 'an object of another repository');
    const local = await commit(bo, work, 'never pushed');
    t.equal(await mayFetch(t, repo, local), false, 'a commit that was never pushed');
  },
);
