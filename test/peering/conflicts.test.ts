import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';
import { schemaFaults } from '../support/schema.ts';

// Whoever waits for the other where nothing is on its way waits for longer than a stop may take.
const config = 'shutdown:\n  grace: 10m\n';
const { hq, b } = await openPair(t, { here: 'dev', there: 'dev' }, { config, shares: true });
const url = (house: House) => house.admin.url('acme/app');
const work = await hq.admin.worktree();
const git = (words: string) => hq.admin.git(words, { cwd: work });
const there = b.admin;
let clone = '';

interface Conflict {
  id: string;
  ref: string;
  server: string;
  kind: string;
  local: string | null;
  remote: string | null;
}

const json = async (house: House, words: string) =>
  JSON.parse((await house.admin.ssh(`${words} --json`)).stdout);
const conflicts = (house: House): Promise<Conflict[]> => json(house, 'conflicts list acme/app');
const run = async (house: House, words: string) => (await json(house, words))[0];

async function tip(house: House, ref = 'refs/heads/main'): Promise<string | undefined> {
  const { refs } = await json(house, 'show acme/app');
  return refs.find((each: { name: string }) => each.name === ref)?.oid;
}

const faults = (words: string, answer: unknown) => {
  const found = commands.find((command) => command.words === words);
  return found === undefined ? [words] : schemaFaults(found.answer, answer);
};

/** A commit on each side, on top of what that side has. */
async function diverge(): Promise<void> {
  for (const [house, cwd] of [
    [hq, work],
    [b, clone],
  ] as const) {
    const step = (words: string) => house.admin.git(words, { cwd });
    await step(`fetch -q ${url(house)} main`);
    await step('reset -q --hard FETCH_HEAD');
    await step(`commit -q --allow-empty -m ${house === hq ? 'here' : 'there'}`);
    await step(`push -q ${url(house)} HEAD:main`);
  }
}

t.test('S9 a link on both sides lets a repository be fetched, and then go both ways', async (t) => {
  await hq.admin.ssh('org create acme');
  await b.admin.ssh('org create acme');
  await git(`push -q ${url(hq)} main`);
  t.match(await b.admin.ssh('pull acme/app --from hq'), { status: 3 });

  await hq.admin.ssh('servers link b acme/app');
  t.match(await run(b, 'pull acme/app --from hq'), { result: 'created', refs_updated: 1 });
  clone =
    (await there.git(['clone', '-q', url(b), 'clone'])).status === 0 ? `${there.home}/clone` : '';
  await there.git('commit -q --allow-empty -m two', { cwd: clone });
  await there.git(`push -q ${url(b)} HEAD:main`, { cwd: clone });

  t.match(await run(hq, 'pull acme/app --from b'), { result: 'updated' });
  t.equal(await tip(hq), await tip(b));
});

t.test('moved on both sides: both values stay, on both sides, and are listed', async (t) => {
  await diverge();
  const [here, other] = [await tip(hq), await tip(b)];

  const pushed = await hq.admin.ssh('push acme/app --to b --json');

  t.match(pushed, { status: 5, stdout: /"result":"conflict"/ });
  const [ours, its] = [here?.slice(0, 7), other?.slice(0, 7)];
  const values = `this server has ${ours} \\(ada [\\d:-]+\\), b has ${its} \\(bea [\\d:-]+\\)`;
  const told = `acme/app main: ${values}; both kept, main stays ${ours} here`;
  const hint = 'hint: cpm conflicts show acme/app main';
  t.match(pushed.stderr, new RegExp(`^${told}\n${hint}\n$`));
  t.same([await tip(hq), await tip(b)], [here, other]);
  t.match(await conflicts(hq), [{ server: 'b', kind: 'diverged', local: here, remote: other }]);
  t.match(await conflicts(b), [{ server: 'hq', kind: 'diverged', local: other, remote: here }]);
  t.match(await json(hq, 'servers list'), [{ conflicts: 1 }]);
  t.match(await hq.admin.ssh('conflicts show acme/app main'), {
    stdout: /ada .* here\n.*\n.*there/,
  });
  await hq.admin.ssh('push acme/app --to b');
  t.equal((await conflicts(b)).length, 1, 'again it is the same conflict');
});

t.test(
  'what one decides to keep goes to the other at the next push, and sets nothing aside unseen',
  async (t) => {
    const here = await tip(hq);
    const before = (await json(b, 'show acme/app')).archived_tips;

    t.match(await hq.admin.ssh('conflicts resolve acme/app main --keep local'), { status: 0 });
    t.match(await run(hq, 'push acme/app --to b'), { result: 'updated', refs_updated: 1 });

    t.same([await tip(hq), await tip(b)], [here, here]);
    t.same([await conflicts(hq), await conflicts(b)], [[], []]);
    t.ok((await json(b, 'show acme/app')).archived_tips > before);
  },
);

t.test('--keep remote takes the other value; the conflict there ends by itself', async (t) => {
  await diverge();
  await hq.admin.ssh('push acme/app --to b');
  const other = await tip(b);

  t.match(await hq.admin.ssh('conflicts resolve acme/app main --keep remote'), { status: 0 });
  await hq.admin.ssh('push acme/app --to b');

  t.same([await tip(hq), await tip(b)], [other, other]);
  t.same([await conflicts(hq), await conflicts(b)], [[], []]);
});

t.test(
  '--keep both makes a branch of the other value, and a merge of the two ends it',
  async (t) => {
    await diverge();
    await hq.admin.ssh('push acme/app --to b');
    const other = await tip(b);

    const shown = await json(hq, 'conflicts show acme/app main');
    const resolved = await json(hq, 'conflicts resolve acme/app main --keep both');
    t.match(resolved, { branch: 'conflict/b/main' });
    t.same(faults('conflicts show', shown), []);
    t.same(faults('conflicts resolve', resolved), []);
    t.equal(await tip(hq, 'refs/heads/conflict/b/main'), other);
    await git(`fetch -q ${url(hq)} conflict/b/main`);
    await git('merge -q --no-edit FETCH_HEAD');
    await git(`push -q ${url(hq)} HEAD:main :conflict/b/main`);
    t.match(await run(hq, 'push acme/app --to b'), { result: 'updated' });

    t.equal(await tip(b), await tip(hq));
    t.same([await conflicts(hq), await conflicts(b)], [[], []]);
  },
);

t.test('a tag that moved on is listed until somebody decides on it', async (t) => {
  const [old, moved] = [await tip(hq), 'refs/tags/v1'];
  await git(`push -q ${url(hq)} ${old}:${moved}`);
  await hq.admin.ssh('push acme/app --to b');
  await there.git(`fetch -q ${url(b)} ${moved}`, { cwd: clone });
  await there.git('reset -q --hard FETCH_HEAD', { cwd: clone });
  const env = { GIT_COMMITTER_DATE: '@9000000000000 +0000' };
  await there.git('commit -q --allow-empty -m later', { cwd: clone, env });
  await there.git(`push -q --force ${url(b)} HEAD:${moved}`, { cwd: clone });
  const newer = await tip(b, moved);
  const when = Number((await there.git('log -1 --format=%ct', { cwd: clone })).stdout);
  t.ok(when > 8.64e12, 'its date is none to Node');
  const listed = { ref: moved, kind: 'tag_moved', local: old, remote: newer };

  t.match(await run(hq, 'pull acme/app --from b'), { result: 'conflict' });
  t.match(await conflicts(hq), [listed]);
  t.match(await run(b, 'push acme/app --to hq'), { result: 'conflict', refs_conflicted: 1 });
  t.match(await conflicts(b), [{ ...listed, local: newer, remote: old }], 'on both sides');
  t.match(await run(b, 'push acme/app --to hq'), { result: 'up-to-date' });
  await hq.admin.ssh('pull acme/app --from b');
  t.match(await conflicts(hq), [listed], 'it stays');
  await hq.admin.ssh('conflicts resolve acme/app v1 --keep remote');
  await hq.admin.ssh('push acme/app --to b');

  t.same([await tip(hq, moved), await tip(b, moved)], [newer, newer]);
  t.same([await conflicts(hq), await conflicts(b)], [[], []]);
});

t.test('what is set back while it is in conflict stays in conflict', async (t) => {
  const first = await tip(b);
  await diverge();
  await hq.admin.ssh('push acme/app --to b');
  const here = await tip(hq);
  await there.git(`push -q --force ${url(b)} ${first}:refs/heads/main`, { cwd: clone });
  t.match(await run(hq, 'pull acme/app --from b'), { result: 'conflict' });
  await hq.admin.ssh('push acme/app --to b');
  await hq.admin.ssh('pull acme/app --from b');

  t.same([await tip(hq), await tip(b)], [here, first]);
  t.match(await conflicts(hq), [{ local: here, remote: first }]);
  await hq.admin.ssh('conflicts resolve acme/app main --keep local');
  await hq.admin.ssh('push acme/app --to b');
  t.equal(await tip(b), here);
  t.same([await conflicts(hq), await conflicts(b)], [[], []]);
});

t.test('what was made again after its deletion had come is no conflict', async (t) => {
  const again = 'refs/heads/again';
  const old = await tip(hq);
  await git(`push -q ${url(hq)} ${old}:${again}`);
  await hq.admin.ssh('push acme/app --to b');
  await there.git(`push -q ${url(b)} :${again}`, { cwd: clone });
  await git(`push -q ${url(hq)} ${old}:refs/heads/alone`);
  t.match(await run(hq, 'pull acme/app --from b'), { result: 'updated' });
  await git('commit -q --allow-empty -m again');
  await git(`push -q ${url(hq)} HEAD:${again} :alone`);

  t.match(await run(b, 'pull acme/app --from hq'), { result: 'updated' });
  t.equal(await tip(b, again), await tip(hq, again));
  t.same([await conflicts(hq), await conflicts(b)], [[], []]);
  await git(`push -q ${url(hq)} :${again}`);
  await hq.admin.ssh('push acme/app --to b');
});

/** What a server has agreed on; `put`: as if the end of a pull had not come there. */
function agreedOn(house: House, put?: { digest: string; refs: Buffer }) {
  const db = new Sqlite(join(house.dataDir, 'cpm.db'));
  try {
    if (put !== undefined)
      db.prepare('UPDATE sync_base SET digest = @digest, refs = @refs').run(put);
    return db.prepare('SELECT digest, refs FROM sync_base').get() as {
      digest: string;
      refs: Buffer;
    };
  } finally {
    db.close();
  }
}

t.test('a branch that is set back after it was fetched is set back there too', async (t) => {
  const back = 'refs/heads/back';
  const old = await tip(hq);
  await there.git(`fetch -q ${url(b)} main`, { cwd: clone });
  await there.git('reset -q --hard FETCH_HEAD', { cwd: clone });
  await there.git('commit -q --allow-empty -m on', { cwd: clone });
  await there.git(`push -q ${url(b)} HEAD:${back}`, { cwd: clone });
  await git(`push -q ${url(hq)} ${old}:refs/heads/alone`);
  const agreed = agreedOn(b);
  t.match(await run(hq, 'pull acme/app --from b'), { result: 'updated' });
  agreedOn(b, agreed);
  await git(`push -q --force ${url(hq)} ${old}:${back}`);

  t.match(await run(hq, 'push acme/app --to b'), { result: 'updated' });
  t.same([await tip(hq, back), await tip(b, back)], [old, old]);
  await git(`push -q ${url(hq)} :${back} :alone`);
  await hq.admin.ssh('push acme/app --to b');
});

t.test('what was moved and deleted after it was fetched is deleted there too', async (t) => {
  const gone = 'refs/heads/gone';
  await there.git(`push -q ${url(b)} HEAD:${gone}`, { cwd: clone });
  await git(`push -q ${url(hq)} HEAD:refs/heads/alone`);
  t.match(await run(hq, 'pull acme/app --from b'), { result: 'updated' });
  await git('commit -q --allow-empty -m moved');
  await git(`push -q --force ${url(hq)} HEAD:${gone}`);
  await git(`push -q ${url(hq)} :${gone} :alone`);

  t.match(await run(hq, 'push acme/app --to b'), { result: 'updated' });
  t.same([await tip(hq, gone), await tip(b, gone)], [undefined, undefined]);
  t.same([await conflicts(hq), await conflicts(b)], [[], []]);
});

t.test('decided on both sides, each for its own: one value stays, whoever is first', async (t) => {
  await diverge();
  await hq.admin.ssh('push acme/app --to b');
  const [here = '', other = ''] = [await tip(hq), await tip(b)];
  for (const house of [hq, b]) {
    await house.admin.ssh('conflicts resolve acme/app main --keep local');
  }
  const pushes = [
    async () => hq.admin.ssh('push acme/app --to b'),
    async () => b.admin.ssh('push acme/app --to hq'),
  ];
  const [stays, goes] = here > other ? [here, other] : [other, here];
  if (stays === here) pushes.reverse();

  await pushes[0]?.();
  t.same([await tip(hq), await tip(b)], [here, other], `${goes} is not taken`);
  await Promise.all(pushes.map((push) => push()));
  t.same([await tip(hq), await tip(b)], [stays, stays]);
  t.same([await conflicts(hq), await conflicts(b)], [[], []]);
});

t.test('a conflict that one side gave in to ends on both as it fetches', async (t) => {
  await diverge();
  await hq.admin.ssh('push acme/app --to b');
  t.equal((await conflicts(hq)).length, 1);
  await hq.admin.git(`fetch -q ${url(hq)} main`, { cwd: clone });
  await there.git(`push -q --force ${url(b)} FETCH_HEAD:main HEAD:refs/heads/alone`, {
    cwd: clone,
  });
  await git(`push -q ${url(hq)} HEAD:refs/heads/more`);

  t.match(await run(b, 'pull acme/app --from hq'), { result: 'updated' });
  t.same([await conflicts(hq), await conflicts(b)], [[], []]);
});

t.test('who may only read sees conflicts and decides none', async (t) => {
  await diverge();
  await hq.admin.ssh('push acme/app --to b');
  const ana = await hq.person('ana');
  await hq.admin.ssh('repo access grant acme/app ana read');

  t.match(await ana.ssh('conflicts list'), { status: 0, stdout: /acme\/app\tmain\tb\tdiverged/ });
  t.match(await ana.ssh('conflicts resolve acme/app main --keep local'), { status: 4 });
  t.match(await hq.admin.ssh('conflicts resolve acme/app main'), { status: 2 });
  t.match(await hq.admin.ssh('conflicts resolve acme/app nosuch --keep local'), { status: 3 });
  t.match(await hq.admin.ssh('conflicts resolve acme/app main --keep local --dry-run'), {
    status: 0,
  });
  t.equal((await conflicts(hq)).length, 1);
});

t.test(
  'a server is trusted by no other fingerprint than its own, and added by none without one',
  async (t) => {
    const wrong = `SHA256:${'A'.repeat(43)}`;

    t.match(await hq.admin.ssh(`servers trust b --fingerprint ${wrong}`), {
      status: 4,
      stderr: /host key is SHA256:.*, expected SHA256:A/,
    });
    t.match(await hq.admin.ssh('servers add c cpm@127.0.0.1:1'), {
      status: 2,
      stderr: /fingerprint/,
    });
    t.match(await hq.admin.ssh('servers add b'), { status: 5 });
  },
);

/** One row of a server's database. */
function rowOf<T>(house: House, sql: string, ...values: unknown[]): T {
  const db = new Sqlite(join(house.dataDir, 'cpm.db'), { readonly: true });
  try {
    return db.prepare(sql).get(...values) as T;
  } finally {
    db.close();
  }
}

t.test(
  'SQLite restored old: nothing acknowledged is lost, nothing deleted by what it has not heard of',
  async (t) => {
    const repo = 'acme/restored';
    const urlOf = (house: House) => house.admin.url(repo);
    const at = (house: House) => (words: string) =>
      house.admin.git(words, { cwd: house === hq ? work : clone });
    const commit = async (house: House, branch: string) => {
      const step = at(house);
      await step(`fetch -q ${urlOf(house)} ${branch}`);
      await step('checkout -q --detach FETCH_HEAD');
      await step(`commit -q --allow-empty -m ${branch}-${house === hq ? 'here' : 'there'}`);
      t.match(await step(`push -q ${urlOf(house)} HEAD:${branch}`), { status: 0 });
      return (await step('rev-parse HEAD')).stdout.trim();
    };
    const refsOf = async (house: House) => {
      const path = join(house.dataDir, 'repositories', `${repo}.git`);
      const args = ['for-each-ref', 'refs/heads', '--format=%(refname:short) %(objectname)'];
      return (await must('git', ['-C', path, ...args])).stdout.trim().split('\n');
    };
    const place = () =>
      rowOf<{ cursor: number; stamp: string }>(b, 'SELECT cursor, stamp FROM sync_peer');
    const stampOf = (seq: number) =>
      rowOf<{ request: string } | undefined>(hq, 'SELECT request FROM change WHERE seq = ?', seq);
    await git(`push -q ${urlOf(hq)} main main:both main:moved main:gone`);
    await hq.admin.ssh(`servers link b ${repo}`);
    t.match(await run(b, `pull ${repo} --from hq`), { result: 'created' });
    const [first = ''] = (await refsOf(b)).map((line) => line.split(' ')[1]);
    const copy = join(hq.folder, 'copy.db');
    const live = new Sqlite(join(hq.dataDir, 'cpm.db'), { readonly: true });
    await live.backup(copy);
    live.close();

    const acknowledged = await commit(hq, 'main');
    const moved = await commit(hq, 'moved');
    await git(`push -q ${urlOf(hq)} ${acknowledged}:refs/heads/late :gone`);
    t.match(await run(hq, `push ${repo} --to b`), { result: 'updated' });
    await b.admin.ssh('servers sync hq');
    const before = place();
    t.equal(stampOf(before.cursor)?.request, before.stamp);
    await at(b)(`push -q ${urlOf(b)} :late :moved`);
    const [here, other] = [await commit(hq, 'both'), await commit(b, 'both')];
    await hq.stop();
    for (const wal of ['-wal', '-shm']) rmSync(join(hq.dataDir, `cpm.db${wal}`), { force: true });
    cpSync(copy, join(hq.dataDir, 'cpm.db'));
    await hq.restart();
    await b.admin.ssh('servers sync hq');
    await hq.admin.ssh('servers sync b');

    const after = place();
    t.not(stampOf(before.cursor)?.request, before.stamp, 'it is another log');
    t.equal(stampOf(after.cursor)?.request, after.stamp, 'whose place is the one known now');
    t.same(await refsOf(hq), [
      `both ${here}`,
      `late ${acknowledged}`,
      `main ${acknowledged}`,
      `moved ${moved}`,
    ]);
    t.same(await refsOf(b), [`both ${other}`, `main ${acknowledged}`]);
    t.match(await json(hq, `conflicts list ${repo}`), [
      { ref: 'refs/heads/both', kind: 'diverged', local: here, remote: other },
      { ref: 'refs/heads/moved', kind: 'modify_delete', local: moved, remote: null },
    ]);
    t.not(first, acknowledged);
    for (const house of [hq, b]) {
      const path = join(house.dataDir, 'repositories', `${repo}.git`);
      await must('git', ['-C', path, 'fsck', '--connectivity-only']);
      for (const oid of [acknowledged, moved, here, other]) {
        await must('git', ['-C', path, 'cat-file', '-e', `${oid}^{commit}`]);
      }
    }
    for (const ref of ['both', 'moved']) {
      await hq.admin.ssh(`conflicts resolve ${repo} ${ref} --keep local`);
    }
    await hq.admin.ssh(`servers unlink b ${repo}`);
  },
);

t.test('what two servers differ in outlives their link, and one that is removed', async (t) => {
  const admin = hq.admin;
  const open = await conflicts(hq);
  const links = async () => (await json(hq, 'servers show b')).links.length;

  t.match(await admin.ssh('servers unlink b acme/app --dry-run'), { status: 0 });
  t.equal(await links(), 1, 'a dry run unlinks nothing');
  t.match(await admin.ssh('servers unlink b acme/nosuch'), { status: 3 });
  t.match(await json(hq, 'servers unlink b acme/app'), { changed: true });
  t.match(await json(hq, 'servers unlink b acme/app'), { changed: false });
  t.same([await links(), await conflicts(hq)], [0, open]);
  t.match(await there.ssh('push acme/app --to hq'), { status: 4, stderr: /not linked with b/ });
  await admin.ssh('servers link b acme/app');
  await admin.ssh('push acme/app --to b');
  t.same(await conflicts(hq), open, 'linked again it is the same conflict');

  t.match(await admin.ssh('servers remove b'), { status: 2, stderr: /--yes/ });
  t.match(await admin.ssh('servers remove b --dry-run'), { status: 0 });
  t.match(await json(hq, 'servers show b'), { conflicts: 1, links: [{ repo: 'acme/app' }] });
  t.match(await json(hq, 'servers remove b --yes'), { changed: true });
  t.match(await admin.ssh('servers remove b --yes'), { status: 3 });
  t.match(await admin.ssh('servers unlink b acme/app'), { status: 3 });
  t.same(await conflicts(hq), open);
  const other = open[0]?.remote ?? '';
  t.match(await json(hq, 'conflicts show acme/app main'), { server: 'b', remote: other });
  const resolved = await json(hq, 'conflicts resolve acme/app main --keep both');
  t.match(resolved, { branch: 'conflict/b/main' });
  t.equal(await tip(hq, 'refs/heads/conflict/b/main'), other);
  t.same(await conflicts(hq), []);
  t.match(await there.ssh('push acme/app --to hq'), { status: 4, stderr: /does not know/ });
});
