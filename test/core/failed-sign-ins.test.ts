import { join } from 'node:path';
import t from 'tap';
import { Audit } from '../../src/core/audit.ts';
import { addressPrefix, type FailedCount, FailedSignIns } from '../../src/core/failed-sign-ins.ts';
import { createLog } from '../../src/log.ts';
import { openStore } from '../../src/store/store.ts';
import { recordOf } from '../support/record.ts';

t.test(
  'S27 100,000 failed sign-ins from 50 addresses are few rows, and every one is counted',
  async (t) => {
    const store = await openStore(join(t.testdir(), 'cpm.db'));
    const audit = new Audit(store, createLog('silent'));
    t.teardown(async () => {
      await audit.stop();
      await store.close();
    });
    const addresses = Array.from({ length: 50 }, (_, n) => `198.51.${n}.${n + 1}`);

    for (let n = 0; n < 100_000; n++) {
      audit.signInFailed(addresses[n % 50] ?? '', [`SHA256:${n}`]);
    }

    const rows = await recordOf(store, audit).list({ limit: 100_000 });
    t.equal(rows.length, 50);
    const attempts = rows.reduce((sum, { detail }) => sum + Number(detail['attempts']), 0);
    t.equal(attempts, 100_000);
    t.match(rows[0], { action: 'sign-in', outcome: 'denied', principal: 'anonymous' });
    t.ok(
      rows.every(({ detail }) => (detail['fingerprints'] as string[]).length === 5),
      'five of the keys each',
    );
    t.match(await recordOf(store, audit).verify(), { ok: true, rows: 50 });
  },
);

t.test('S27 an attack from very many addresses has a cap too', (t) => {
  const counted: FailedCount[] = [];
  const failed = new FailedSignIns((count) => counted.push(count));

  for (let n = 0; n < 5000; n++) failed.count(`10.${n >> 8}.${n & 255}.0/24`, [], new Date());
  failed.stop();

  t.equal(counted.length, 1001);
  t.match(counted.at(-1), { prefix: 'others', attempts: 4000 });
  t.equal(
    counted.reduce((sum, { attempts }) => sum + attempts, 0),
    5000,
  );
  t.end();
});

t.test('a count tells the first and the last time, and starts anew after it was written', (t) => {
  const counted: FailedCount[] = [];
  const failed = new FailedSignIns((count) => counted.push(count));
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));

  failed.count('192.0.2.0/24', ['SHA256:a'], at(1));
  failed.count('192.0.2.0/24', ['SHA256:a', 'SHA256:b'], at(3));
  failed.flush();
  failed.count('192.0.2.0/24', [], at(5));
  failed.stop();

  t.same(counted, [
    {
      prefix: '192.0.2.0/24',
      attempts: 2,
      first: at(1).toISOString(),
      last: at(3).toISOString(),
      fingerprints: ['SHA256:a', 'SHA256:b'],
    },
    {
      prefix: '192.0.2.0/24',
      attempts: 1,
      first: at(5).toISOString(),
      last: at(5).toISOString(),
      fingerprints: [],
    },
  ]);
  t.end();
});

t.test('addresses are counted by network, however they are written', (t) => {
  const cases = [
    ['192.0.2.77', '192.0.2.0/24'],
    ['::ffff:192.0.2.77', '192.0.2.0/24'],
    ['::FFFF:192.0.2.77', '192.0.2.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
  ] as const;
  for (const [address, prefix] of cases) t.equal(addressPrefix(address), prefix, address);
  t.end();
});
