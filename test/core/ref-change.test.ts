import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { changeRefs, type RefChange } from '../../src/core/ref-change.ts';
import { nullOid, type RefCommand } from '../../src/model/ref.ts';
import { archivePrefix } from '../../src/programs/tips.ts';
import type { Repository } from '../../src/store/repositories.ts';
import { actor } from '../store/actor.ts';
import { must } from '../support/process.ts';
import { House } from './house.ts';

const main = 'refs/heads/main';
const topic = 'refs/heads/topic';

const house = await House.open(t);

function change(
  repo: Repository,
  commands: readonly RefCommand[],
  more: Partial<RefChange> = {},
): Promise<readonly { refused: string | undefined }[]> {
  const principal = { kind: 'operator' } as const;
  const { signal } = new AbortController();
  const by = actor();
  const all = { repo, commands, by, action: 'merge', principal, signal, ...more };
  return changeRefs(house.core, all);
}

function rowsOf(sql: string, repo: Repository): unknown[] {
  const db = new Sqlite(house.core.config.databasePath, { readonly: true });
  const rows = db.prepare(sql).all(repo.id);
  db.close();
  return rows;
}

const history = (repo: Repository) =>
  rowsOf(
    "SELECT action, ref, old_oid AS old, new_oid AS new FROM ref_update WHERE repo_id = ? AND action <> 'external' ORDER BY id",
    repo,
  );

async function scene(name: string) {
  const repo = await house.create(name);
  const one = await house.commit(repo, 'one');
  const two = await house.commit(repo, 'two');
  await house.git(repo, 'update-ref', main, one);
  await house.git(repo, 'update-ref', topic, one);
  return { repo, one, two };
}

t.test('refs move as one, what they leave is archived, history knows by what', async (t) => {
  const { repo, one, two } = await scene('move');
  const commands = [
    { ref: main, old: one, new: two },
    { ref: topic, old: one, new: nullOid },
  ];

  t.match(await change(repo, commands), [{ refused: undefined }, { refused: undefined }]);

  t.equal(await house.git(repo, 'rev-parse', main), two);
  t.equal(await house.git(repo, 'rev-parse', `${archivePrefix}${one}`), one);
  t.equal(await house.git(repo, 'for-each-ref', topic), '');
  t.same(
    history(repo),
    commands.map((command) => ({ action: 'merge', ...command })),
  );
  t.same(await house.core.store.pushes.unsettled(), []);
});

t.test('one ref that may not or can not be changed keeps all as they are', async (t) => {
  const { repo, one, two } = await scene('refuse');
  const move = { ref: topic, old: one, new: two };

  t.match(await change(repo, [move, { ref: main, old: one, new: nullOid }]), [
    { refused: /another ref was refused/ },
    { refused: /default branch can not be deleted/ },
  ]);
  const stale = change(repo, [move, { ref: main, old: two, new: one }]);
  await t.rejects(stale, { code: 'conflict', message: /"main" changed meanwhile/ });
  // A ref whose name is in the way is noticed by git itself.
  const inTheWay = change(repo, [move, { ref: `${main}/sub`, old: nullOid, new: one }]);
  await t.rejects(inTheWay, { code: 'conflict' });
  await house.git(repo, 'symbolic-ref', 'refs/heads/alias', main);
  const alias = change(repo, [{ ref: 'refs/heads/alias', old: one, new: two }]);
  await t.rejects(alias, { code: 'conflict', message: /a name for another ref/ });

  t.equal(await house.git(repo, 'rev-parse', topic), one);
  t.same(history(repo), []);
  t.same(await house.core.store.pushes.unsettled(), []);
});

t.test('S12 refs outside heads, tags and notes are nobody’s to change', async (t) => {
  const { repo, one } = await scene('writable');
  for (const ref of [
    'refs/replace/x',
    `${archivePrefix}x`,
    'HEAD',
    'refs/heads/',
    'refs/heads/a..b',
  ]) {
    await t.rejects(change(repo, [{ ref, old: nullOid, new: one }]), { code: 'usage' }, ref);
  }
});

t.test('a dry run is decided and does nothing', async (t) => {
  const { repo, one, two } = await scene('dry');
  const by = actor({ dryRun: true });

  t.match(await change(repo, [{ ref: main, old: one, new: two }], { by }), [
    { refused: undefined },
  ]);
  const stale = change(repo, [{ ref: main, old: two, new: one }], { by });
  await t.rejects(stale, { code: 'conflict' });

  t.equal(await house.git(repo, 'rev-parse', main), one);
  t.same(history(repo), []);
});

t.test('objects of a quarantine are in the repository once the refs are', async (t) => {
  const { repo, one } = await scene('quarantine');
  const directory = house.core.repos.directory(repo);
  const quarantine = join(house.dataDir, 'incoming/scratch');
  mkdirSync(quarantine);
  const env = {
    GIT_OBJECT_DIRECTORY: quarantine,
    GIT_ALTERNATE_OBJECT_DIRECTORIES: join(directory, 'objects'),
    GIT_AUTHOR_NAME: 'ada',
    GIT_AUTHOR_EMAIL: 'ada@example.org',
    GIT_COMMITTER_NAME: 'ada',
    GIT_COMMITTER_EMAIL: 'ada@example.org',
  };
  const words = ['commit-tree', '-m', 'new', '-p', one, `${one}^{tree}`];
  const oid = (await must('git', words, { cwd: directory, env, stdin: '' })).stdout.trim();
  await t.rejects(house.git(repo, 'cat-file', '-e', oid));

  await change(repo, [{ ref: main, old: one, new: oid }], { quarantine });

  t.equal(await house.git(repo, 'rev-parse', main), oid);
  await house.git(repo, 'fsck', '--strict');
});

t.test('a change that a crash cut off is in history under its own name', async (t) => {
  const { repo, one, two } = await scene('crash');
  const commands = [{ ref: main, old: one, new: two }];
  await house.core.store.pushes.journal(repo.id, 'repo undo', false, commands, actor());
  await house.git(repo, 'update-ref', main, two);

  await house.crash();

  t.match(history(repo), [{ action: 'repo undo', ref: main, old: one, new: two }]);
  t.equal(await house.git(repo, 'rev-parse', `${archivePrefix}${one}`), one);
});

t.test('a purge that a crash cut off is carried on before anybody reads', async (t) => {
  const { repo, one, two } = await scene('purge');
  const leak = await house.commit(repo, 'leak', one);
  await house.git(repo, 'update-ref', `${archivePrefix}${leak}`, leak);
  await house.git(repo, 'update-ref', main, two);
  await house.core.store.purges.begin({ repoId: repo.id, oid: leak }, [leak], actor());

  await house.crash();

  await t.rejects(house.git(repo, 'cat-file', '-e', leak));
  t.equal(await house.git(repo, 'rev-parse', topic), one);
  t.same(await house.core.store.purges.unfinished(), []);

  await t.test('also when it was gone already, and not all that went with it', async (t) => {
    const loose = await house.commit(repo, 'left over');
    await house.core.store.purges.begin({ repoId: repo.id, oid: leak }, [], actor());
    await house.crash();
    await t.rejects(house.git(repo, 'cat-file', '-e', loose));
    t.same(await house.core.store.purges.unfinished(), []);
  });
});
t.test(
  'what was decided under the locks is not asked again once the refs have moved',
  async (t) => {
    const { repo, one, two } = await scene('decided');
    const stillMay = async () => {
      throw new Error('asked again');
    };

    const by = { ...actor(), stillMay };
    t.match(await change(repo, [{ ref: main, old: one, new: two }], { by }), [
      { refused: undefined },
    ]);
    t.match(history(repo), [{ ref: main, old: one, new: two }]);
  },
);
