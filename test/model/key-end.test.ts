import t from 'tap';
import { endWarning } from '../../src/model/key-end.ts';

t.test('a key that ends within 14 days is told of, with the days left', async (t) => {
  const now = new Date('2026-11-01T12:00:00Z');
  const cases: [expiresAt: string | null, told: RegExp | undefined][] = [
    [null, undefined],
    ['2026-11-15T12:00:00.001Z', undefined],
    ['2026-11-15T12:00:00.000Z', /ends in 14 days \(2026-11-15T12:00:00\.000Z\)/],
    ['2026-11-03T11:00:00.000Z', /ends in 1 day \(/],
    ['2026-11-02T11:00:00.000Z', /ends within a day \(/],
    ['2026-11-01T11:00:00.000Z', /ends within a day \(/],
  ];
  for (const [expiresAt, told] of cases) {
    const warning = endWarning({ fingerprint: 'SHA256:x', kind: 'user', expiresAt }, now);
    if (told === undefined) t.equal(warning, undefined, String(expiresAt));
    else t.match(warning, told, String(expiresAt));
  }
  const soon = { fingerprint: 'SHA256:x', expiresAt: now.toISOString() };
  t.match(endWarning({ ...soon, kind: 'user' }, now), /^your key .* site admin, puts a new one/);
  t.match(endWarning({ ...soon, kind: 'deploy' }, now), /^this deploy key .*; an admin puts/);
});
