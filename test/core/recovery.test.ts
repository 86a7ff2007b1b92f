import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { nullOid } from '../../src/model/ref.ts';
import { initBare } from '../../src/programs/bare.ts';
import { archivePrefix } from '../../src/programs/tips.ts';
import type { Repository } from '../../src/store/repositories.ts';
import { actor } from '../store/actor.ts';
import { recordOf } from '../support/record.ts';
import { House } from './house.ts';

const main = 'refs/heads/main';
const push = 'git-receive-pack';

/** Rows of one repository, past the store, which has no way to read them yet. */
function rowsOf(house: House, sql: string, repo: Repository): unknown[] {
  const db = new Sqlite(house.core.config.databasePath, { readonly: true });
  try {
    return db.prepare(sql).all(repo.id);
  } finally {
    db.close();
  }
}

/** Oldest first, without what the tests themselves put on the disk. */
const history = (house: House, repo: Repository) =>
  rowsOf(
    house,
    "SELECT ref, old_oid AS old, new_oid AS new FROM ref_update WHERE repo_id = ? AND action <> 'external' ORDER BY id",
    repo,
  );

t.test('a push whose ref had moved before the crash is in history afterwards', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const one = await house.commit(app, 'one');
  const command = { ref: main, old: nullOid, new: one };
  await house.core.store.pushes.journal(app.id, push, false, [command], actor());
  await house.git(app, 'update-ref', main, one);

  await house.crash();

  t.same(history(house, app), [command]);
  t.same(await house.core.store.pushes.unsettled(), []);
  t.match(await house.repository('app'), { refs: 1 });
  await house.crash();
  t.same(history(house, app), [command], 'once');
});

t.test('a push whose ref had not moved leaves no trace', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const one = await house.commit(app, 'one');
  const command = { ref: main, old: nullOid, new: one };
  await house.core.store.pushes.journal(app.id, push, false, [command], actor());

  await house.crash();

  t.same(history(house, app), []);
  t.same(await house.core.store.pushes.unsettled(), []);
  t.ok(await house.find('app'), 'a repository that was there before stays, empty or not');
});

t.test('what a push overwrote or deleted before the crash is archived after it', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const one = await house.commit(app, 'one');
  const two = await house.commit(app, 'two');
  const three = await house.commit(app, 'three');
  const grown = await house.commit(app, 'grown', three);
  await house.git(app, 'update-ref', main, one);
  await house.git(app, 'update-ref', 'refs/heads/gone', two);
  await house.git(app, 'update-ref', 'refs/heads/grown', three);
  const commands = [
    { ref: main, old: one, new: three },
    { ref: 'refs/heads/gone', old: two, new: nullOid },
    { ref: 'refs/heads/grown', old: three, new: grown },
  ];
  await house.core.store.pushes.journal(app.id, push, false, commands, actor());
  // As the gate does before git gets a deletion.
  await house.git(app, 'update-ref', `${archivePrefix}${two}`, two);
  for (const { ref, new: next } of commands) {
    await house.git(app, 'update-ref', ...(next === nullOid ? ['-d', ref] : [ref, next]));
  }

  await house.crash();

  const refs = await house.git(app, 'for-each-ref', '--format=%(refname)', archivePrefix);
  const lost = [one, two].sort();
  t.same(
    refs.split('\n'),
    lost.map((oid) => `${archivePrefix}${oid}`),
  );
  const tips = rowsOf(house, 'SELECT oid FROM archived_tip WHERE repo_id = ? ORDER BY oid', app);
  t.same(
    tips,
    lost.map((oid) => ({ oid })),
  );
  t.equal(history(house, app).length, 3);
});

t.test('a tip is kept although a later push hides what became of the cut-off one', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const one = await house.commit(app, 'one');
  const two = await house.commit(app, 'two');
  const three = await house.commit(app, 'three');
  const cutOff = { ref: main, old: one, new: two };
  await house.core.store.pushes.journal(app.id, push, false, [cutOff], actor());
  await house.git(app, 'update-ref', main, three);

  await house.crash();

  const refs = await house.git(app, 'for-each-ref', '--format=%(refname)', archivePrefix);
  t.equal(refs, `${archivePrefix}${one}`);
});

t.test('a repository that a cut-off push created and left empty is gone', async (t) => {
  const house = await House.open(t);
  const by = actor();
  const command = { ref: main, old: nullOid, new: '1'.repeat(40) };
  const namespace = await house.core.store.names.find('ada');
  if (namespace === undefined) throw new Error('ada is gone');
  const id = randomUUID();
  await house.core.store.pushes.journal(id, push, true, [command], by);

  await t.test('before it was made', async (t) => {
    await house.crash();
    t.same(await house.core.store.pushes.unsettled(), []);
  });
  await t.test('after it was made', async (t) => {
    await house.core.store.pushes.journal(id, push, true, [command], by);
    await house.core.repos.create({ id, namespace, name: 'new' }, by);
    await house.crash();
    t.equal(await house.find('new'), undefined);
    t.same(readdirSync(join(house.dataDir, 'repositories/ada')), []);
    t.same(await house.core.store.pushes.unsettled(), []);
  });
  await t.test('but not once it has a ref', async (t) => {
    await house.core.repos.create({ id, namespace, name: 'new' }, by);
    const repo = await house.repository('new');
    const one = await house.commit(repo, 'one');
    await house.core.store.pushes.journal(id, push, true, [{ ...command, new: one }], by);
    await house.git(repo, 'update-ref', main, one);
    await house.crash();
    t.ok(await house.find('new'));
    t.equal(history(house, repo).length, 1);
  });
});

t.test(
  'a removal that was cut off is taken back before its commit, and ended after it',
  async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    const gone = randomUUID();
    const incoming = join(house.dataDir, 'incoming');
    renameSync(house.core.repos.directory(app), join(incoming, `removed-${app.id}`));
    await initBare(join(incoming, `removed-${gone}`), { defaultBranch: 'main', repoId: gone });
    mkdirSync(join(incoming, 'left-over-x'));

    await house.crash();

    t.ok(existsSync(house.core.repos.directory(app)));
    t.same(readdirSync(incoming), []);
  },
);

t.test('a removal within a recovery that was cut off itself is carried on', async (t) => {
  const house = await House.open(t);
  const by = actor();
  const namespace = await house.core.store.names.find('ada');
  if (namespace === undefined) throw new Error('ada is gone');
  const id = randomUUID();
  const command = { ref: main, old: nullOid, new: '1'.repeat(40) };
  await house.core.store.pushes.journal(id, push, true, [command], by);
  await house.core.repos.create({ id, namespace, name: 'new' }, by);
  const place = house.core.repos.directory({ fullName: 'ada/new' });
  renameSync(place, join(house.dataDir, 'incoming', `removed-${id}`));

  await house.crash();

  t.equal(await house.find('new'), undefined);
  t.same(readdirSync(join(house.dataDir, 'incoming')), []);
});

t.test('a directory whose row a crash kept from being written makes room', async (t) => {
  const house = await House.open(t);
  const place = house.core.repos.directory({ fullName: 'ada/app' });
  await initBare(place, { defaultBranch: 'main', repoId: randomUUID() });

  const app = await house.create('app');

  t.equal(readFileSync(join(place, 'cpm-id'), 'utf8').trim(), app.id);
  await house.crash();
  t.same(readdirSync(join(house.dataDir, 'incoming')), [], 'and is gone after the next start');
});

t.test('a directory with somebody’s work in it is never moved away', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const one = await house.commit(app, 'one');
  await house.git(app, 'update-ref', main, one);
  const db = new Sqlite(house.core.config.databasePath);
  // As after a restore of an older copy of the database.
  db.prepare('DELETE FROM repository WHERE id = ?').run(app.id);
  db.close();

  await t.rejects(house.create('app'), { code: 'conflict', message: /does not know/ });

  t.equal(await house.git(app, 'rev-parse', main), one);
});

t.test('what a cut-off creation or change left beside its place is removed', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const place = house.core.repos.directory(app);
  await house.record('init', 'ada/half');
  mkdirSync(join(house.dataDir, `repositories/ada/half.git.new-${randomUUID()}`));
  writeFileSync(join(place, `HEAD.new-${randomUUID()}`), 'ref: refs/heads/x\n');
  // HEAD was written, its row not: a crash came before the commit.
  writeFileSync(join(place, 'HEAD'), 'ref: refs/heads/trunk\n');
  const lone = 'somebody.new-thing';
  writeFileSync(join(place, lone), '');

  await house.crash();

  t.same(readdirSync(join(house.dataDir, 'repositories/ada')), ['app.git']);
  t.same(
    readdirSync(place).filter((name) => name.includes('.new-')),
    [lone],
  );
  t.equal(readFileSync(join(place, 'HEAD'), 'utf8'), 'ref: refs/heads/main\n');
  t.same(await house.core.store.audit.open(), []);
  const { store, audit } = house.core;
  t.match(await recordOf(store, audit).list({ limit: 1 }), [
    { outcome: 'interrupted', action: 'init' },
  ]);
});

t.test('quarantines, locks and keep files of killed gits are removed, others stay', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const place = house.core.repos.directory(app);
  const left = [
    'packed-refs.lock',
    'refs/heads/main.lock',
    'objects/tmp_objdir-incoming-Ab12',
    'objects/pack/tmp_pack_x',
    'objects/pack/pack-1.keep',
  ];
  for (const path of left) writeFileSync(join(place, path), 'receive-pack 12 on host\n');
  writeFileSync(join(place, 'objects/pack/pack-2.keep'), 'the operator wants it so\n');
  const command = { ref: main, old: nullOid, new: '1'.repeat(40) };
  await house.core.store.pushes.journal(app.id, push, false, [command], actor());

  await house.crash();

  for (const path of left) t.notOk(existsSync(join(place, path)), path);
  t.ok(existsSync(join(place, 'objects/pack/pack-2.keep')));
});

t.test('a git that outlived its server is ended before anything is cleaned', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const child = house.core.git.start(['upload-pack', '.'], {
    cwd: house.core.repos.directory(app),
  });
  await once(child.stdout, 'data');

  await house.crash();

  t.match(await child.exited, { signal: 'SIGTERM' });
});

t.test(
  'one repository that can not be read keeps the server from nothing but its own push',
  async (t) => {
    const house = await House.open(t);
    const broken = await house.create('broken');
    const app = await house.create('app');
    const one = await house.commit(app, 'one');
    const command = { ref: main, old: nullOid, new: one };
    await house.core.store.pushes.journal(broken.id, push, false, [command], actor());
    await house.core.store.pushes.journal(app.id, push, false, [command], actor());
    await house.git(app, 'update-ref', main, one);
    // As a power cut may leave a file that was not synced.
    writeFileSync(join(house.core.repos.directory(broken), main), '');

    await house.crash();

    t.same(history(house, app), [command]);
    t.match(await house.core.store.pushes.unsettled(), [{ repoId: broken.id }], 'not forgotten');
  },
);
