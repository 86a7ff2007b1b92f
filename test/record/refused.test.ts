import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { Audit } from '../../src/core/audit.ts';
import { createLog } from '../../src/log.ts';
import { openStore } from '../../src/store/store.ts';
import { House } from '../support/house.ts';
import { recordOf } from '../support/record.ts';

/** Has a database take no rows for the record, as where its disk is full, until it is let go. */
function block(path: string): () => void {
  const database = new Sqlite(path);
  // As a full disk does, it takes the whole transaction back.
  database.exec(
    "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
  );
  return () => {
    database.exec('DROP TRIGGER full');
    database.close();
  };
}

t.test(
  'nothing is let in while the record takes no rows, and all of it when it does',
  async (t) => {
    const house = await House.open(t);
    const ada = house.admin;
    const work = await ada.worktree();
    await ada.ssh('init app');
    await ada.git(['push', ada.url('app'), 'main'], { cwd: work });

    const letGo = block(join(house.dataDir, 'cpm.db'));
    await ada.ssh('whoami');
    const refusals = [
      await ada.ssh('init more'),
      await ada.ssh('whoami'),
      await ada.ssh('show app --json'),
      await house.operator('user add bo'),
    ];
    const clone = await ada.git(['clone', '-q', ada.url('app'), 'copy']);
    const push = await ada.git(['push', ada.url('app'), 'main:more'], { cwd: work });
    letGo();

    for (const refusal of refusals) {
      t.match(refusal, {
        status: 6,
        stdout: '',
        stderr: /the record of requests can not be written/,
      });
    }
    for (const { status, stderr } of [clone, push]) {
      t.not(status, 0);
      t.match(stderr, /the record of requests can not be written/);
    }
    t.match(await ada.ssh('init more'), { status: 0 });
    t.match(await ada.ssh('user show bo'), { status: 3 });
    t.match(await ada.ssh('audit verify --json'), { status: 0, stdout: /"ok":true/ });
    const { stdout } = await ada.ssh('audit list --limit 30 --json');
    const rows = JSON.parse(stdout) as { action: string; outcome: string }[];
    t.match(
      rows.filter(({ action }) => action === 'user add'),
      [{ outcome: 'failed' }],
      'what was refused is on record',
    );
    t.strictSame(
      rows.filter(({ action, outcome }) => outcome === 'open' && action !== 'audit list'),
      [],
    );
  },
);

t.test('what waits for the disk has a bound, and what came beyond it is counted', async (t) => {
  const path = join(t.testdir(), 'cpm.db');
  const store = await openStore(path);
  const audit = new Audit(store, createLog('silent'));
  t.teardown(async () => {
    await audit.stop();
    await store.close();
  });
  const principal = { kind: 'operator' } as const;
  const asked = { principal, address: undefined, door: 'local', action: 'x', target: undefined };
  const letGo = block(path);
  await t.rejects(audit.open({ ...asked, request: 'r' }, true), { code: 'unavailable' });

  let refused = 0;
  for (let request = 0; request < 20_000; request++) {
    const opened = audit.open({ ...asked, request: `r${request}` }, false);
    await opened.catch(({ code }) => {
      if (code === 'unavailable') refused += 1;
    });
  }
  for (let n = 0; n < 2000; n++) {
    audit.signInFailed(`10.${n % 250}.0.1`, []);
    audit.signedIn({ kind: 'user', id: 'u', name: 'u', keyId: 'k', fingerprint: 'f' }, '::1');
  }
  t.equal(refused, 20_000);
  letGo();
  await audit.settle();

  const rows = await recordOf(store, audit).list({ limit: 100_000 });
  t.ok(rows.length <= 10_251, `${rows.length} requests are told of one by one`);
  const [counted] = rows.filter(({ action }) => action === 'refused unrecorded');
  const beyond = Number(counted?.detail['requests']);
  t.ok(beyond > 10_000 && beyond <= 22_000, `${beyond} as a number`);
  t.match(await recordOf(store, audit).verify(), { ok: true });
});
