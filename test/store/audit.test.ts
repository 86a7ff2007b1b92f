import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { Audit } from '../../src/core/audit.ts';
import { createLog } from '../../src/log.ts';
import { openStore } from '../../src/store/store.ts';
import { recordOf } from '../support/record.ts';

const ada = {
  kind: 'user',
  id: randomUUID(),
  name: 'ada',
  keyId: randomUUID(),
  fingerprint: 'SHA256:ada',
} as const;

async function open(t: Test) {
  const path = join(t.testdir(), 'cpm.db');
  const store = await openStore(path);
  const audit = new Audit(store, createLog('silent'));
  const raw = new Sqlite(path);
  t.teardown(async () => {
    raw.close();
    await audit.stop();
    await store.close();
  });
  const opening = (action: string) => ({
    request: randomUUID(),
    principal: ada,
    address: '192.0.2.1',
    door: 'ssh',
    action,
    target: 'acme/app',
  });
  const request = async (action: string) => {
    const record = await audit.open(opening(action), true);
    await record.close('ok', {}, { durable: true });
  };
  return { path, store, audit, raw, opening, request, ...recordOf(store, audit) };
}

t.test('S28 a request is two rows, each with the hash of the one before', async (t) => {
  const { raw, request, verify, list } = await open(t);
  for (const action of ['init', 'list', 'show']) await request(action);

  const rows = raw.prepare('SELECT seq, phase, action, outcome FROM audit ORDER BY seq').all();
  t.match(rows, [
    { seq: 1, phase: 'open', action: 'init', outcome: 'open' },
    { seq: 2, phase: 'close', action: 'init', outcome: 'ok' },
    { seq: 3, phase: 'open', action: 'list' },
    { seq: 4, phase: 'close', action: 'list' },
    { seq: 5, phase: 'open' },
    { seq: 6, phase: 'close' },
  ]);
  t.match(await verify(), { ok: true, rows: 6, first_bad: null });
  t.match(await list({ limit: 2 }), [
    { action: 'show', outcome: 'ok', seq: 5 },
    { action: 'list', outcome: 'ok', seq: 3 },
  ]);
});

t.test('S28 the chain goes on over batches, and over a new start', async (t) => {
  const { path, store, audit, request, opening, verify } = await open(t);
  const records = await Promise.all(
    Array.from({ length: 300 }, (_, n) => audit.open(opening(`batch ${n}`), n % 7 === 0)),
  );
  const closes = records.map((record, n) => record.close('ok', {}, { durable: n % 5 === 0 }));
  await Promise.all(closes);
  await audit.settle();
  await request('after');

  const found = await verify();

  t.match(found, { ok: true, rows: 602 });
  const again = await openStore(path);
  t.teardown(() => again.close());
  const next = new Audit(again, createLog('silent'));
  const after = recordOf(again, next);
  const record = await next.open(opening('next'), true);
  await record.close('ok', {}, { durable: true });
  t.match(await after.verify(), { ok: true, rows: 604 });
  t.match(await after.verify(headOf(found.head)), { ok: true }, 'and holds the older head');
  t.same(await store.audit.open(), []);
});

function headOf(text: string): { seq: number; hash: string } {
  const [seq = '', hash = ''] = text.split(':');
  return { seq: Number(seq), hash };
}

t.test('S28 whatever is changed, taken out, put in or cut off is found', async (t) => {
  const forgeries: readonly (readonly [string, string, number])[] = [
    ['an outcome', "UPDATE audit SET outcome = 'denied' WHERE seq = 4", 4],
    ['a time', "UPDATE audit SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 1", 1],
    ['an address that becomes none', 'UPDATE audit SET address = NULL WHERE seq = 3', 3],
    ['a text moved to the next column', "UPDATE audit SET target = 'x' WHERE seq = 2", 2],
    ['a row taken out', 'DELETE FROM audit WHERE seq = 3', 3],
    ['the first row taken out', 'DELETE FROM audit WHERE seq = 1', 1],
    ['a hash', `UPDATE audit SET hash = '${'0'.repeat(64)}' WHERE seq = 5`, 5],
  ];
  for (const [what, sql, firstBad] of forgeries) {
    await t.test(what, async (t) => {
      const { raw, request, verify } = await open(t);
      for (const action of ['init', 'list', 'show']) await request(action);

      raw.exec(sql);

      t.match(await verify(), { ok: false, first_bad: firstBad });
    });
  }
  await t.test('a tail cut off shows against a head kept elsewhere, and only there', async (t) => {
    const { raw, request, verify } = await open(t);
    for (const action of ['init', 'list', 'show']) await request(action);
    const { head } = await verify();

    raw.exec('DELETE FROM audit WHERE seq > 4');

    t.match(await verify(), { ok: true, rows: 4 });
    t.match(await verify(headOf(head)), { ok: false, first_bad: 5 });
  });
  await t.test('a chain written anew shows against a head kept elsewhere', async (t) => {
    const { request, verify } = await open(t);
    await request('init');
    t.match(await verify({ seq: 2, hash: 'f'.repeat(64) }), { ok: false, first_bad: 2 });
  });
});

/** From now on the database takes no row of the record, as a full disk would not. */
function fill(raw: Sqlite.Database): () => void {
  raw.exec("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END");
  return () => raw.exec('DROP TRIGGER full');
}

t.test('a record that could not be closed is closed once the disk takes rows again', async (t) => {
  const { audit, raw, opening, store, request, verify, list } = await open(t);
  const record = await audit.open(opening('init'), true);
  const empty = fill(raw);
  await t.rejects(record.close('ok', {}, { durable: true }), { message: /full/ });
  // What the gate does with a request that failed.
  await t.rejects(record.close('failed', {}, { durable: true }), { message: /full/ });

  empty();
  await request('list');

  t.same(await store.audit.open(), []);
  t.match(await list({ limit: 10 }), [{ action: 'list' }, { action: 'init', outcome: 'ok' }]);
  t.match(await verify(), { ok: true, rows: 4 });
});

t.test('a request that could not be recorded does not begin, and stays open nowhere', async (t) => {
  const { audit, raw, opening, store, request, verify, list } = await open(t);
  const empty = fill(raw);
  await t.rejects(audit.open(opening('init'), true), {
    code: 'unavailable',
    cause: { message: /full/ },
  });

  empty();
  await request('list');

  t.same(await store.audit.open(), []);
  t.match(await list({ limit: 10 }), [
    { action: 'list', outcome: 'ok' },
    { action: 'init', outcome: 'failed' },
  ]);
  t.match(await verify(), { ok: true });
});

t.test('what a dead process left open is closed as interrupted', async (t) => {
  const { path, audit, opening } = await open(t);
  await audit.open(opening('git-receive-pack'), true);
  await audit.open(opening('init'), true);

  const store = await openStore(path);
  t.teardown(() => store.close());
  const next = new Audit(store, createLog('silent'));
  const after = recordOf(store, next);
  t.equal(await next.closeInterrupted(async () => undefined), 2);

  t.same(await store.audit.open(), []);
  t.match(await after.list({ limit: 10 }), [
    { action: 'init', outcome: 'interrupted' },
    { action: 'git-receive-pack', outcome: 'interrupted' },
  ]);
  t.match(await after.verify(), { ok: true, rows: 4 });
});
