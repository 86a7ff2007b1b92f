import { join } from 'node:path';
import t from 'tap';
import { compiled } from '../../src/store/compiled.ts';
import { openDatabase } from '../../src/store/sqlite.ts';

const { db, close } = openDatabase(join(t.testdir(), 'cpm.db'));
t.teardown(close);
const put = (key: string, value: string) => db.insertInto('meta').values({ key, value }).execute();
for (const [key, value] of [
  ['a', '1'],
  ['b', '2'],
  ['c', "2' OR 1"],
] as const) {
  await put(key, value);
}

t.test('a query is put together once, and each run has its own values', async (t) => {
  let built = 0;
  const find = compiled(db, (value: string, ...keys: string[]) => {
    built += 1;
    return db.selectFrom('meta').select('key').where('value', '=', value).where('key', 'in', keys);
  });

  const found = await Promise.all([find('1', 'a', 'b'), find('2', 'b', 'a'), find('2', 'a', 'c')]);

  t.same(found, [[{ key: 'a' }], [{ key: 'b' }], []]);
  t.same(await find("2' OR 1", 'c', 'b'), [{ key: 'c' }], 'a value is never text of the query');
  t.equal(built, 1);
});

t.test(
  'a text that was prepared before sees what is written since, in whatever order',
  async (t) => {
    const count = () =>
      db
        .selectFrom('meta')
        .select((eb) => eb.fn.countAll<number>().as('n'))
        .execute();
    const [before] = await count();
    for (let n = 0; n < 200; n++) {
      // So many texts that the first of them is prepared anew.
      await db
        .selectFrom('meta')
        .select('key')
        .where('key', 'in', Array(n + 1).fill('x'))
        .execute();
    }

    await db.transaction().execute(async (trx) => {
      await trx.insertInto('meta').values({ key: 'd', value: '4' }).execute();
      t.same(await trx.selectFrom('meta').select('key').where('key', '=', 'd').execute(), [
        { key: 'd' },
      ]);
    });

    t.same(await count(), [{ n: (before?.n ?? 0) + 1 }]);
    await t.rejects(put('d', '5'), /UNIQUE/);
    await put('e', '5');
    t.same(await count(), [{ n: (before?.n ?? 0) + 2 }], 'also after one that failed');
  },
);
