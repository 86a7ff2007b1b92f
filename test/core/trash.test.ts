import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import type { Repository } from '../../src/store/repositories.ts';
import { actor } from '../store/actor.ts';
import { House } from './house.ts';

const nothing = async () => undefined;

/** Where the directory of a repository is, of all places that it may be in. */
function placeOf(house: House, { id, fullName }: Repository): string[] {
  return [`repositories/${fullName}.git`, `trash/${id}.git`, `incoming/removed-${id}`].filter(
    (place) => existsSync(join(house.dataDir, place)),
  );
}

const move = (house: House, from: string, to: string) =>
  renameSync(join(house.dataDir, from), join(house.dataDir, to));

t.test('a crash between row and directory: the row says where the directory belongs', async (t) => {
  const house = await House.open(t);
  const cases = [
    { name: 'live', deleted: false, at: 'trash', ends: 'repositories', action: 'repo delete' },
    { name: 'dead', deleted: true, at: 'repositories', ends: 'trash', action: 'repo restore' },
    { name: 'last', deleted: true, at: 'incoming', ends: 'trash', action: 'repo trash empty' },
  ];
  const repos = new Map<string, Repository>();
  for (const { name, deleted, at, action } of cases) {
    const repo = await house.create(name);
    repos.set(name, repo);
    if (deleted) await house.core.trash.delete(repo, actor());
    const [from = ''] = placeOf(house, repo);
    const places: Record<string, string> = {
      repositories: `repositories/${repo.fullName}.git`,
      trash: `trash/${repo.id}.git`,
      incoming: `incoming/removed-${repo.id}`,
    };
    move(house, from, places[at] ?? '');
    await house.record(action, repo.fullName);
  }
  const taken = await house.create('taken');
  await house.core.trash.delete(taken, actor());
  await house.create('taken');

  await house.crash();

  for (const { name, ends } of cases) {
    const places = placeOf(house, repos.get(name) as Repository);
    t.same(
      places.map((place) => place.split('/')[0]),
      [ends],
      name,
    );
  }
  t.same(placeOf(house, taken).length, 2, 'what is well stays where it is');
});

t.test(
  'what cannot be moved is as it was, and what a crash left of an end is cleared',
  async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    await house.core.trash.delete(app, actor());
    const [trashed] = await house.core.store.trash.named(app.namespaceId, 'app');
    if (trashed === undefined) throw new Error('it is not in the trash');
    const other = join(house.dataDir, 'repositories/ada/app.git');
    renameSync(join(house.dataDir, 'trash', `${app.id}.git`), other);

    await t.rejects(house.core.trash.restore(trashed, actor()), { code: 'unavailable' });
    renameSync(other, join(house.dataDir, 'trash', `${app.id}.git`));
    const refusal = new Error('no longer');
    await t.rejects(
      house.core.trash.restore(trashed, { ...actor(), stillMay: () => Promise.reject(refusal) }),
      refusal,
    );
    t.same(placeOf(house, app), [`trash/${app.id}.git`]);
    await house.core.store.trash.remove(trashed, actor(), nothing);
    move(house, `trash/${app.id}.git`, `incoming/removed-${app.id}`);

    await house.crash();

    t.same(placeOf(house, app), []);
    t.same(readdirSync(join(house.dataDir, 'incoming')), []);
  },
);

t.test(
  'S11 a deletion waits until nobody uses the repository, and decides once more',
  async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    const release = await house.core.repos.hold(app, new AbortController().signal);
    let decided = false;
    const deletion = house.core.trash.delete(app, {
      ...actor(),
      stillMay: async () => {
        decided = true;
      },
    });
    await new Promise(setImmediate);
    t.notOk(decided);
    t.ok(existsSync(house.core.repos.directory(app)));

    release();
    await deletion;

    t.ok(decided);
    t.notOk(existsSync(house.core.repos.directory(app)));
  },
);

/** A row of anything in each table that tells of repositories by their ids, past all checks. @returns those tables */
function someOfAll(db: Sqlite.Database, repo: Repository): () => string[] {
  db.pragma('foreign_keys = OFF');
  db.pragma('ignore_check_constraints = ON');
  const names = db.prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`).pluck().all();
  const where = (names as string[]).flatMap((table) => {
    const columns = db.pragma(`table_info(${table})`) as { name: string; type: string }[];
    const key = columns.find(({ name }) => name === 'repo_id' || name === 'on_id')?.name;
    if (key === undefined) return [];
    const values = columns.map(({ name, type }) => {
      if (name === key) return repo.id;
      return { TEXT: 'x', INTEGER: 1_000_000, BLOB: Buffer.of() }[type];
    });
    db.prepare(`INSERT INTO ${table} VALUES (${columns.map(() => '?')})`).run(values);
    return [{ table, key }];
  });
  return () =>
    where
      .filter(({ table, key }) =>
        db.prepare(`SELECT 1 FROM ${table} WHERE ${key} = ?`).get(repo.id),
      )
      .map(({ table }) => table)
      .sort();
}

t.test('of what was emptied from the trash nothing is left but its history', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  await house.core.trash.delete(app, actor());
  const [deleted] = await house.core.store.trash.named(app.namespaceId, app.name);
  if (deleted === undefined) throw new Error('it is not in the trash');
  const db = new Sqlite(house.core.config.databasePath);
  t.teardown(() => db.close());
  const tables = someOfAll(db, app);
  t.ok(tables().length > 10, 'every table that tells of repositories');

  await house.core.trash.remove(deleted, actor());

  // The journal of a push waits for the next start, which finds that there is nothing to settle.
  t.strictSame(tables(), ['change', 'push_journal', 'ref_update']);
});
