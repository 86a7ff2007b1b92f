import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import Sqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { Audit } from '../../src/core/audit.ts';
import { AuditChain } from '../../src/core/audit-chain.ts';
import { AuditClock } from '../../src/core/audit-clock.ts';
import { type AuditQuestion, auditEntries } from '../../src/core/audit-list.ts';
import { createLog } from '../../src/log.ts';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { openStore } from '../../src/store/store.ts';
import { addToRecord } from '../support/audit-rows.ts';
import { run } from '../support/process.ts';

const verifier = join(import.meta.dirname, '../support/verify-audit.mjs');

/** The record of a data directory without a server, and what it logged. */
async function openRecord(t: Test, folder = t.testdir()) {
  const path = join(folder, 'cpm.db');
  const { privateKey, publicLine } = generateEd25519();
  mkdirSync(join(folder, 'keys'), { recursive: true });
  writeFileSync(join(folder, 'keys/sign_ed25519'), privateKey, { mode: 0o600 });
  const output = new PassThrough();
  const log = createLog('info', output);
  const store = await openStore(path);
  const audit = new Audit(store, log);
  const chain = new AuditChain({ store, audit, log }, folder);
  t.teardown(async () => {
    await audit.stop();
    await store.close();
  });
  return { folder, path, publicLine, output, log, store, audit, chain };
}
type Record = Awaited<ReturnType<typeof openRecord>>;

/** So many requests by ana, each with its two rows. */
async function requests({ audit }: Record, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const principal = { kind: 'user', id: 'u', name: 'ana', keyId: 'k', fingerprint: 'f' } as const;
    const opening = { principal, address: '192.0.2.7', door: 'ssh', target: 'ana/app' };
    const request = `request ${index} ${Math.random()}`;
    const record = await audit.open({ ...opening, request, action: 'git-upload-pack' }, false);
    await record.close('ok', {}, { durable: false, targetId: 'r' });
  }
  await audit.flush();
}

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

async function count(rows: AsyncIterable<unknown>): Promise<number> {
  let found = 0;
  for await (const _ of rows) found += 1;
  return found;
}

/** What the other verifier says. */
async function secondOpinion({ path }: Record, head?: string) {
  const words = head === undefined ? [verifier, path] : [verifier, path, head];
  const { status, stdout } = await run(process.execPath, words);
  return { status, found: JSON.parse(stdout) };
}

function tamper({ path }: Record, sql: string): void {
  const db = new Sqlite(path);
  db.exec(sql);
  db.close();
}

t.test('S28 two programs agree that a record is whole, and where it is not', async (t) => {
  const columns =
    'at phase request principal principal_id key address door action target target_id outcome detail hash';
  const faults: [string, string, number][] = [
    ...columns.split(' ').map((column): [string, string, number] => {
      const value = column === 'phase' ? "'note'" : `coalesce(${column}, '') || 'x'`;
      return [`${column} changed`, `UPDATE audit SET ${column} = ${value} WHERE seq = 6`, 6];
    }),
    ['a row taken away', 'DELETE FROM audit WHERE seq = 6', 6],
    ['the first row taken away', 'DELETE FROM audit WHERE seq = 1', 1],
    ['a row moved', 'UPDATE audit SET seq = 99 WHERE seq = 6', 6],
    [
      'a row added',
      `INSERT INTO audit SELECT seq + 1, at, 'note', 'new', principal, principal_id, key, address, door, action,
       target, target_id, outcome, detail, hash FROM audit WHERE seq = 10`,
      11,
    ],
  ];
  const untouched = await openRecord(t);
  await requests(untouched, 5);
  t.strictSame(await secondOpinion(untouched), {
    status: 0,
    found: await untouched.chain.verify(undefined),
  });
  for (const [what, sql, seq] of faults) {
    await t.test(what, async (t) => {
      const record = await openRecord(t);
      await requests(record, 5);
      const whole = await record.chain.verify(undefined);
      t.match(whole, { ok: true, rows: 10, first_bad: null });

      tamper(record, sql);

      const broken = await record.chain.verify(undefined);
      t.match(broken, { ok: false, rows: seq - 1, first_bad: seq });
      t.strictSame(await secondOpinion(record), { status: 7, found: broken });
    });
  }
});

t.test('S28 a tail that was cut, or rewritten, shows against a head kept elsewhere', async (t) => {
  const record = await openRecord(t);
  await requests(record, 5);
  const { head } = await record.chain.verify(undefined);
  const [seq = '', hash = ''] = head.split(':');
  const kept = { seq: Number(seq), hash };
  await requests(record, 2);
  t.match(await record.chain.verify(kept), { ok: true, rows: 14 });
  t.match(await secondOpinion(record, head), { status: 0 });
  const other = { seq: 10, hash: 'f'.repeat(64) };
  t.match(await record.chain.verify(other), { ok: false, first_bad: 10 });
  t.match(await record.chain.verify({ seq: 0, hash: 'f'.repeat(64) }), { first_bad: 0 });
  t.match(await record.chain.verify({ seq: 15, hash }), { ok: false, first_bad: 15 });

  tamper(record, 'DELETE FROM audit WHERE seq > 8');

  t.match(await record.chain.verify(undefined), { ok: true, rows: 8 }, 'by itself it looks whole');
  const found = await record.chain.verify(kept);
  t.match(found, { ok: false, rows: 8, first_bad: 9 });
  t.strictSame(await secondOpinion(record, head), { status: 7, found });
});

t.test('S28 the head is signed again and again, for the journal and for verify', async (t) => {
  const record = await openRecord(t);
  await requests(record, 1);
  const heads: { head: string; at: string; signature: string }[] = [];
  const faults: string[] = [];
  let onHead: () => void = () => undefined;
  record.output.on('data', (chunk: Buffer) => {
    for (const line of String(chunk).trim().split('\n')) {
      const entry = JSON.parse(line);
      if (entry.msg === 'audit head') heads.push(entry);
      if (entry.level >= 50) faults.push(entry.msg);
      onHead();
    }
  });
  const until = (count: number) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${heads.length} heads`)), 60_000);
      onHead = () => {
        if (heads.length < count) return;
        clearTimeout(timer);
        resolve();
      };
      onHead();
    });
  const clock = new AuditClock(record.chain, record.log, {
    keepMs: () => Number.POSITIVE_INFINITY,
    headMs: 20,
  });

  await clock.start();
  await until(1);
  await requests(record, 1);
  await until(2);
  await requests(record, 1);
  await clock.stop();
  await record.chain.signHead();

  t.strictSame(
    heads.map(({ head }) => head.split(':')[0]),
    ['2', '4', '6'],
    'one for each end of the record, the last one at the stop',
  );
  for (const { head, at, signature } of heads) {
    const signers = join(record.folder, 'signers');
    const file = join(record.folder, 'signature');
    writeFileSync(signers, `cpm ${record.publicLine}\n`);
    writeFileSync(file, signature);
    const words = ['-Y', 'verify', '-f', signers, '-I', 'cpm', '-n', 'cpm-audit', '-s', file];
    const stdin = `cpm audit head ${head} ${at}\n`;
    t.match(await run('ssh-keygen', words, { stdin }), { status: 0 });
  }

  tamper(record, 'DELETE FROM audit WHERE seq > 4');

  t.match(
    await record.chain.verify(undefined),
    { ok: false, rows: 4, first_bad: 5 },
    'the signed heads in the table tell of a cut tail too',
  );
  tamper(record, "UPDATE audit_signed_head SET signature = 'none' WHERE seq = 6");
  t.match(await record.chain.verify(undefined), { ok: true }, 'a head that nobody signed does not');
  tamper(record, "DELETE FROM audit; UPDATE audit_signed_head SET hash = 'x'");
  const fresh = new Audit(record.store, record.log);
  await requests({ ...record, audit: fresh }, 1);
  const { store, log } = record;
  await new AuditChain({ store, audit: fresh, log }, record.folder).signHead();
  t.strictSame(faults, ['the audit record was cut or rewritten'], 'and the journal is told');
});

t.test('S28 what is older than audit.keep goes, behind a signed checkpoint', async (t) => {
  const folder = t.testdir();
  await (await openStore(join(folder, 'cpm.db'))).close();
  addToRecord(join(folder, 'cpm.db'), 700, (index) => ({
    at: new Date(Date.now() - (700 - index) * 60_000).toISOString(),
    principal: 'user:ana',
    address: '192.0.2.7',
    action: 'list',
  }));
  const record = await openRecord(t, folder);
  const { chain, audit } = record;
  await requests(record, 1);
  const before = await chain.verify(undefined);
  const keep = new Date(Date.now() - 100.5 * 60_000).toISOString();

  await chain.drop(keep);

  const after = await chain.verify(undefined);
  t.match(after, { ok: true, rows: before.rows - 1200 + 1 }, 'the drop is a row itself');
  t.strictSame(await secondOpinion(record), { status: 0, found: after });
  const rows = await all(chain.rows(AbortSignal.abort()));
  t.equal(rows.length, 0, 'whoever left gets nothing more');
  const [first] = await all(chain.rows(new AbortController().signal));
  t.equal(first?.seq, 1201);
  t.ok((first?.at ?? '') >= keep);
  const checkpoint = await chain.checkpoint();
  t.match(checkpoint, { seq: 1200, signature: /SSH SIGNATURE/ });
  await t.rejects(chain.verify({ seq: 5, hash: 'a'.repeat(64) }), {
    code: 'not_found',
    message: /up to 1200/,
  });
  t.match(await chain.verify({ seq: 1200, hash: checkpoint?.hash ?? '' }), { ok: true });
  t.match(await chain.verify({ seq: 1200, hash: 'a'.repeat(64) }), { ok: false, first_bad: 1200 });

  const opening = { principal: { kind: 'operator' }, address: undefined, door: 'local' } as const;
  const asked = { ...opening, request: 'still open', action: 'events', target: undefined };
  await audit.open(asked, true);
  await chain.drop(new Date(Date.now() + 60_000).toISOString());
  t.match(await record.store.audit.open(), [{ request: 'still open' }], 'what still runs stays');
  t.match(await chain.verify(undefined), { ok: true, rows: 2 });

  tamper(
    record,
    'UPDATE audit_checkpoint SET signature = (SELECT signature FROM audit_checkpoint)',
  );
  t.match(await chain.verify(undefined), { ok: true });
  tamper(record, "UPDATE audit_checkpoint SET at = '2020-01-01T00:00:00.000Z'");
  t.match(await chain.verify(undefined), { ok: false, rows: 0 }, 'a checkpoint that nobody signed');
});

t.test('S28 rows that are not whole are never dropped', async (t) => {
  const record = await openRecord(t);
  await requests(record, 5);
  tamper(record, "UPDATE audit SET principal = 'user:bo' WHERE seq = 4");

  await record.chain.drop(new Date(Date.now() + 60_000).toISOString());

  t.equal(await record.chain.checkpoint(), undefined);
  t.match(await record.chain.verify(undefined), { ok: false, first_bad: 4 });
});

t.test('S17 list, verify and export of a long record leave the loop free', async (t) => {
  const folder = t.testdir();
  await (await openStore(join(folder, 'cpm.db'))).close();
  const start = Date.parse('2026-01-01T00:00:00Z');
  const requests = 30_000;
  addToRecord(join(folder, 'cpm.db'), requests, (index) => ({
    at: new Date(start + index * 1000).toISOString(),
    principal: index === 7 ? 'user:eve' : 'user:ana',
    address: index === 8 ? '192.0.2.9' : '192.0.2.7',
    action: index === 9 ? 'init' : 'list',
    targetId: index === 10 ? 'secret' : 'app',
  }));
  const { store, audit, chain } = await openRecord(t, folder);
  const { signal } = new AbortController();
  const list = (question: AuditQuestion) => count(auditEntries({ store, audit }, question, signal));
  const [since, until] = ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:30.000Z'];
  const scans: [string, number, () => Promise<number>][] = [
    ['verify', requests * 2, async () => (await chain.verify(undefined)).rows],
    ['export', requests * 2, () => count(chain.rows(signal))],
    ['all', requests, () => list({ limit: 1e9 })],
    ['one user', 1, () => list({ limit: 100, principals: ['user:eve'] })],
    ['one address', 1, () => list({ limit: 100, addresses: ['192.0.2.9', '192.0.2.0/24'] })],
    ['one action', 1, () => list({ limit: 100, action: 'init' })],
    ['one action of a time', 1, () => list({ limit: 100, action: 'init', since })],
    ['one repository', 1, () => list({ limit: 100, targetId: 'secret' })],
    [
      'two that never meet',
      0,
      () => list({ limit: 9, principals: ['user:ana'], action: 'init', addresses: ['192.0.2.9'] }),
    ],
    ['an old time', 30, () => list({ limit: 100, until })],
    ['an old time of a user', 29, () => list({ limit: 100, until, principals: ['user:ana'] })],
  ];
  for (const [what, rows, scan] of scans) {
    // The processor's time, for a busy machine lets a process wait.
    let last = process.cpuUsage();
    let longestMs = 0;
    let running = true;
    const look = () => {
      const { user, system } = process.cpuUsage(last);
      longestMs = Math.max(longestMs, (user + system) / 1000);
      last = process.cpuUsage();
      if (running) setImmediate(look);
    };
    setImmediate(look);

    const found = await scan();
    running = false;
    t.equal(found, rows, what);
    t.ok(longestMs < 100, `${what}: ${Math.round(longestMs)} ms at once`);
  }
});
