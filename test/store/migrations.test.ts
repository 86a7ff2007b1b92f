import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { sql } from 'kysely';
import t, { type Test } from 'tap';
import { type Migration, migrate } from '../../src/store/migrate.ts';
import { openDatabase } from '../../src/store/sqlite.ts';
import { openStore } from '../../src/store/store.ts';
import { actor } from './actor.ts';

const first: Migration = {
  number: 1,
  name: 'first',
  sql: "CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('one')",
};
const second: Migration = {
  number: 2,
  name: 'second',
  sql: "ALTER TABLE note ADD COLUMN at TEXT; INSERT INTO note VALUES ('two', 'now')",
};

function database(t: Test): { db: Sqlite.Database; path: string } {
  const path = join(t.testdir(), 'cpm.db');
  const db = new Sqlite(path);
  t.teardown(() => db.close());
  return { db, path };
}

const textsOf = (db: Sqlite.Database) => db.prepare('SELECT text FROM note').pluck().all();
const schemaOf = (db: Sqlite.Database) => db.pragma('user_version', { simple: true });

t.test('a new database gets every migration, and needs no copy', (t) => {
  const { db, path } = database(t);

  migrate(db, path, [first, second]);

  t.equal(schemaOf(db), 2);
  t.same(textsOf(db), ['one', 'two']);
  t.notOk(existsSync(`${path}.before-1`));
  t.notOk(existsSync(`${path}.before-2`));
  t.end();
});

t.test('an older database is copied as it was, then gets what it lacks, once', (t) => {
  const { db, path } = database(t);
  migrate(db, path, [first]);
  db.exec("INSERT INTO note VALUES ('kept')");

  migrate(db, path, [first, second]);
  migrate(db, path, [first, second]);

  t.same(textsOf(db), ['one', 'kept', 'two']);
  const copy = new Sqlite(`${path}.before-2`);
  t.teardown(() => copy.close());
  t.equal(schemaOf(copy), 1);
  t.same(textsOf(copy), ['one', 'kept']);
  t.equal(statSync(`${path}.before-2`).mode & 0o777, 0o600);
  t.end();
});

t.test('what a crash left of a copy does not pass for one, nor does an older copy', (t) => {
  const { db, path } = database(t);
  migrate(db, path, [first]);
  writeFileSync(`${path}.before-2.new`, 'half a copy');
  writeFileSync(`${path}.before-2`, 'a copy of long ago');

  migrate(db, path, [first, second]);

  const copy = new Sqlite(`${path}.before-2`);
  t.teardown(() => copy.close());
  t.same(textsOf(copy), ['one']);
  t.notOk(existsSync(`${path}.before-2.new`));
  t.end();
});

t.test('a migration that fails leaves nothing of itself', (t) => {
  const { db, path } = database(t);
  migrate(db, path, [first]);
  const broken: Migration = { ...second, sql: `${second.sql}; INSERT INTO nowhere VALUES (1)` };

  t.throws(() => migrate(db, path, [first, broken]), { message: /nowhere/ });

  t.equal(schemaOf(db), 1);
  t.same(db.prepare("SELECT name FROM pragma_table_info('note')").pluck().all(), ['text']);
  migrate(db, path, [first, second]);
  t.same(textsOf(db), ['one', 'two']);
  t.end();
});

t.test('a database of a newer cpm is refused and left alone', async (t) => {
  const path = join(t.testdir(), 'cpm.db');
  await (await openStore(path)).close();
  const db = new Sqlite(path);
  db.pragma('user_version = 99');
  db.close();

  t.throws(() => openDatabase(path), { code: 'unavailable', message: /schema 99/ });

  const after = new Sqlite(path);
  t.teardown(() => after.close());
  t.equal(schemaOf(after), 99);
});

t.test(
  'opening again changes nothing: not the schema, not the house’s id, not a row',
  async (t) => {
    const path = join(t.testdir(), 'cpm.db');
    const store = await openStore(path);
    await store.users.add({ name: 'ada', admin: true }, actor());
    await store.close();
    const again = await openStore(path);
    t.teardown(() => again.close());

    t.equal(again.houseId, store.houseId);
    t.match(await again.users.byName('ada'), { name: 'ada', admin: true });
    t.equal(statSync(path).mode & 0o777, 0o600);
  },
);

t.test('a commit is synced before it returns; what that costs here', async (t) => {
  const folder = t.testdir();
  const { db } = openDatabase(join(folder, 'cpm.db'));
  t.teardown(() => db.destroy());
  const { rows } = await sql<{ synchronous: number }>`PRAGMA synchronous`.execute(db);
  t.same(rows, [{ synchronous: 2 }], 'FULL');

  const commits = 200;
  for (const mode of ['FULL', 'NORMAL', 'FULL', 'NORMAL']) {
    const raw = new Sqlite(join(folder, `${mode}.db`));
    raw.pragma('journal_mode = WAL');
    raw.pragma(`synchronous = ${mode}`);
    raw.exec('CREATE TABLE IF NOT EXISTS row (at INTEGER)');
    const insert = raw.prepare('INSERT INTO row VALUES (?)');
    const times: number[] = [];
    for (let n = 0; n < commits; n++) {
      const started = performance.now();
      insert.run(n);
      times.push(performance.now() - started);
    }
    raw.close();
    times.sort((one, other) => one - other);
    const median = times[commits / 2] ?? 0;
    t.comment(`synchronous=${mode}: ${median.toFixed(3)} ms a commit, median of ${commits}`);
  }
});
