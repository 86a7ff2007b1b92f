import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { Housekeeping } from '../../src/core/housekeeping.ts';
import { Locks } from '../../src/core/locks.ts';
import { nullOid } from '../../src/model/ref.ts';
import { takeStock } from '../../src/programs/tidy.ts';
import { archivePrefix } from '../../src/programs/tips.ts';
import type { Repository } from '../../src/store/repositories.ts';
import { actor } from '../store/actor.ts';
import { House } from './house.ts';

const { signal } = new AbortController();
const action = 'git-receive-pack';

/** Changes rows past the store, as time does. */
function age(house: House, sql: string): void {
  const db = new Sqlite(house.core.config.databasePath);
  db.exec(sql);
  db.close();
}

/** Refs with a commit each, in history too. */
async function fill(house: House, repo: Repository, count: number): Promise<string[]> {
  const oids: string[] = [];
  for (let n = 0; n < count; n++) oids.push(await house.commit(repo, `commit ${n}`));
  for (const [n, oid] of oids.entries())
    await house.git(repo, 'update-ref', `refs/heads/branch-${n}`, oid);
  const done = oids.map((oid, n) => ({ ref: `refs/heads/branch-${n}`, old: nullOid, new: oid }));
  await house.core.store.pushes.settle(repo.id, action, { done, archived: [] }, actor());
  return oids;
}

t.test(
  'what was pushed is packed, nothing is lost, and readers and the record see the same',
  async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    await fill(house, app, 8);
    const directory = house.core.repos.directory(app);
    const loose = await house.commit(app, 'of nobody');
    const refs = await house.git(app, 'for-each-ref');

    const done = await house.core.housekeeping.maintain(app, actor(), { signal });

    t.match(done, {
      before: { packs: 0, looseRefs: 8 },
      after: { looseObjects: 0, looseRefs: 0, packs: 1 },
    });
    t.ok(done.before.looseObjects > 8);
    t.equal(await house.git(app, 'for-each-ref'), refs);
    t.equal(await house.git(app, 'cat-file', '-t', loose), 'commit', 'unreachable objects stay');
    t.equal(await house.git(app, 'fsck', '--no-dangling'), '');
    const packs = readdirSync(join(directory, 'objects/pack'));
    t.ok(packs.includes('multi-pack-index') && packs.some((name) => name.endsWith('.bitmap')));
    t.ok(existsSync(join(directory, 'objects/info/commit-graphs')));
    t.match(await house.core.store.upkeep.tidiness(app.id), { untidy: 0 });
    t.match(house.core.housekeeping.state, { running: undefined, last: { repo: 'ada/app' } });
    const empty = await house.create('empty');
    await house.core.housekeeping.maintain(empty, actor(), { signal });
    t.equal((await takeStock(house.core.repos.directory(empty))).packs, 0);
  },
);

t.test('a repository is due once enough has changed and it is at rest', async (t) => {
  const house = await House.open(t);
  const [few, many] = [await house.create('few'), await house.create('many')];
  const rested = `UPDATE repository SET updated_at = '2026-01-01T00:00:00.000Z'`;
  const idle = `UPDATE repository SET updated_at = '${new Date(Date.now() - 30_000).toISOString()}'`;
  await fill(house, few, 6);
  await fill(house, many, 6);
  t.same(await house.core.housekeeping.due(), [], 'somebody is at work on both');

  age(house, idle);
  age(house, `UPDATE repository SET untidy = 100 WHERE name = 'many'`);
  t.same(await house.core.housekeeping.due(), ['ada/many'], 'six changes are not enough');
  t.same(await house.core.housekeeping.due(), [], 'and it is named once');
  await house.core.housekeeping.maintain(many, actor(), { signal });
  age(house, `UPDATE repository SET untidy = 20 WHERE name = 'many'`);
  t.same(await house.core.housekeeping.due(), [], 'nor are twenty');
  age(house, rested);
  t.same(await house.core.housekeeping.due(), ['ada/many'], 'but for one that rests for longer');
  t.same(await house.core.housekeeping.due(), [], 'once, too');
  await house.core.housekeeping.maintain(many, actor(), { signal });
  age(house, `UPDATE repository SET untidy = 20 WHERE name = 'many'`);
  age(house, rested);
  t.same(await house.core.housekeeping.due(), ['ada/many'], 'and again once it was packed');
});

t.test('one that is pushed to all the time is packed as well, and not all the time', async (t) => {
  const house = await House.open(t);
  const [app, huge] = [await house.create('app'), await house.create('huge')];
  const changes = (repo: Repository, count: number) =>
    age(house, `UPDATE repository SET untidy = ${count} WHERE id = '${repo.id}'`);
  await fill(house, app, 6);
  await fill(house, huge, 6);
  changes(app, 99);
  t.same(await house.core.housekeeping.due(), []);
  changes(app, 100);
  t.same(await house.core.housekeeping.due(), ['ada/app']);

  await house.core.housekeeping.maintain(app, actor(), { signal });

  changes(app, 100);
  t.same(await house.core.housekeeping.due(), [], 'it took time a moment ago');
  changes(app, 1000);
  t.same(await house.core.housekeeping.due(), ['ada/app'], 'but so many are too many');
  changes(huge, 100);
  t.same(await house.core.housekeeping.due(), ['ada/huge'], 'another has pauses of its own');
});

t.test('archived tips go when their time is over, not before', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const [old = '', young = '', held = ''] = await fill(house, app, 3);
  await house.git(app, 'update-ref', '-d', 'refs/heads/branch-0');
  await house.git(app, 'update-ref', '-d', 'refs/heads/branch-1');
  for (const oid of [old, young, held])
    await house.git(app, 'update-ref', `${archivePrefix}${oid}`, oid);
  const archived = [old, young, held].map((oid) => ({ oid, ref: 'refs/heads/x' }));
  await house.core.store.pushes.settle(app.id, action, { done: [], archived }, actor());
  const tips = async () =>
    (await house.git(app, 'for-each-ref', '--format=%(objectname)', archivePrefix))
      .split('\n')
      .sort();
  const maintain = () => house.core.housekeeping.maintain(app, actor(), { signal });

  t.match(await maintain(), { expiredTips: 0 });
  t.same(await house.core.housekeeping.expiring(), []);
  age(house, `UPDATE archived_tip SET archived_at = '2020-01-01' WHERE oid <> '${young}'`);
  t.same(await house.core.housekeeping.expiring(), ['ada/app']);
  const release = await house.core.repos.hold(app, signal);
  t.match(await maintain(), { expiredTips: 0 }, 'somebody uses the repository');
  release();
  t.match(await house.core.housekeeping.maintain(app, actor({ dryRun: true }), { signal }), {
    expiredTips: 2,
  });
  t.same(await tips(), [old, young, held].sort());

  t.match(await maintain(), { expiredTips: 2 });

  t.same(await tips(), [young], 'it is younger');
  t.equal(await house.git(app, 'rev-parse', 'branch-2'), held, 'a branch keeps this one');
  t.match(await maintain(), { expiredTips: 0 });
  t.same(await house.core.housekeeping.expiring(), [], 'and it is not looked at all the time');
});

/** The housekeeping of a house in which so many days have passed. */
function later({ core, dataDir }: House, days: number): Housekeeping {
  const now = () => Date.now() + days * 24 * 3600 * 1000;
  return new Housekeeping({
    ...core,
    locks: new Locks(),
    dataDir,
    live: () => core.config.values,
    now,
  });
}

/** A repository with a branch, and a tip in the archive that nothing leads to. */
async function withTip(house: House, name: string) {
  const repo = await house.create(name);
  const [live = '', tip = ''] = await fill(house, repo, 2);
  await house.git(repo, 'update-ref', '-d', 'refs/heads/branch-1');
  await house.git(repo, 'update-ref', `${archivePrefix}${tip}`, tip);
  const archived = [{ oid: tip, ref: 'refs/heads/branch-1' }];
  await house.core.store.pushes.settle(repo.id, action, { done: [], archived }, actor());
  const has = (oid: string) => house.git(repo, 'cat-file', '-t', oid).catch(() => 'gone');
  return { repo, live, tip, has };
}

t.test('what an archived tip led to goes two weeks after the tip, not before', async (t) => {
  const house = await House.open(t);
  const { repo, live, tip, has } = await withTip(house, 'app');
  const after = (days: number) => later(house, days).maintain(repo, actor(), { signal });

  t.match(await after(0), { expiredTips: 0, prunedObjects: 0 });
  t.match(await after(91), { expiredTips: 1, prunedObjects: 0 });
  t.equal(await has(tip), 'commit', 'its grace begins');
  t.same(await house.core.housekeeping.expiring(), []);
  t.same(await later(house, 104).expiring(), []);
  t.same(await later(house, 106).expiring(), ['ada/app']);
  const young = await house.commit(repo, 'young');

  t.match(await after(106), { expiredTips: 0, prunedObjects: 1 });

  t.equal(await has(tip), 'gone');
  t.equal(await has(young), 'commit', 'a younger one that nothing leads to stays');
  t.equal(await has(live), 'commit');
  t.equal(await house.git(repo, 'fsck', '--no-dangling'), '');
  const packs = readdirSync(join(house.core.repos.directory(repo), 'objects/pack'));
  t.ok(packs.includes('multi-pack-index') && packs.some((name) => name.endsWith('.bitmap')));
  t.match(await after(121), { prunedObjects: 1 });
  t.equal(await has(young), 'gone');
  t.match(await house.core.store.upkeep.tidiness(repo.id), { pruneAt: null });
  t.match(await after(122), { prunedObjects: 0 });
});

t.test('a mirror keeps what its main had, whatever its own time is', async (t) => {
  const house = await House.open(t);
  const { repo, tip, has } = await withTip(house, 'app');
  const { servers, serverLinks } = house.core.store;
  const server = await servers.byId(await servers.add({ name: 'hq', role: 'main' }, actor()));
  if (server === undefined) throw new Error('a server was added and is not there');
  await serverLinks.link(server, repo, { bornThere: true }, actor());

  for (const days of [91, 106]) {
    const done = await later(house, days).maintain(repo, actor(), { signal });
    t.match(done, { expiredTips: 0, prunedObjects: 0 });
    t.same(await later(house, days).expiring(), []);
  }
  t.equal(await has(tip), 'commit');
  await serverLinks.unlink(server, repo, actor());
  t.same(await later(house, 106).expiring(), ['ada/app']);
  await serverLinks.link(server, repo, { bornThere: true }, actor());

  const prune = (by = actor()) =>
    later(house, 106).maintain(repo, by, { signal, pruneArchive: true });
  t.match(await prune(actor({ dryRun: true })), { expiredTips: 1, prunedObjects: 0 });
  t.equal(await house.git(repo, 'for-each-ref', '--format=%(objectname)', archivePrefix), tip);
  t.match(await prune(), { expiredTips: 1, prunedObjects: 0 });
  t.equal(await house.git(repo, 'for-each-ref', archivePrefix), '');
  t.equal(await has(tip), 'commit', 'its grace begins');
  t.same(await later(house, 119).expiring(), []);
  t.same(await later(house, 121).expiring(), ['ada/app'], 'what was let go is let go to its end');
  t.match(await later(house, 121).maintain(repo, actor(), { signal }), { prunedObjects: 1 });
  t.equal(await has(tip), 'gone');
});

t.test('an object that a ref came back to stays, whenever that was', async (t) => {
  const house = await House.open(t);
  const { repo, tip, has } = await withTip(house, 'app');
  await later(house, 91).maintain(repo, actor(), { signal });
  await house.commit(repo, 'young, so that something stays');
  const release = await house.core.repos.hold(repo, signal);
  const maintained = later(house, 106).maintain(repo, actor(), { signal });
  const incoming = join(house.dataDir, 'incoming');
  const isPrepared = () =>
    readdirSync(incoming).some((name) =>
      readdirSync(join(incoming, name)).some((file) => file.endsWith('.idx')),
    );
  // All is ready and waits, for the repository is in use.
  while (!isPrepared()) await new Promise(setImmediate);

  const child = await house.commit(repo, 'on top of what is about to go', tip);
  await house.git(repo, 'update-ref', 'refs/heads/back', child);
  release();

  t.match(await maintained, { prunedObjects: 0 });
  t.equal(await has(tip), 'commit');
  t.equal(await house.git(repo, 'fsck', '--no-dangling'), '');
  t.match(await later(house, 140).maintain(repo, actor(), { signal }), { prunedObjects: 1 });
  t.equal(await has(tip), 'commit');
});

t.test('S11 maintenance gives way to who wants the repository alone', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  await fill(house, app, 4);
  const maintained = house.core.housekeeping.maintain(app, actor(), { signal });
  const refused = t.rejects(maintained, { code: 'unavailable', message: /gave way/ });
  while (house.core.housekeeping.state.running === undefined) await new Promise(setImmediate);

  const deleted = house.core.trash.delete(app, actor());

  await Promise.all([refused, deleted]);
  t.equal(await house.find('app'), undefined);
});
