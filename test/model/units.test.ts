import t from 'tap';
import { readDurationMs, readMoment, readSizeBytes, sizeText } from '../../src/model/units.ts';

t.test('durations are seconds, minutes, hours and days, whole and without a sign', async (t) => {
  const good: [string, number][] = [
    ['0s', 0],
    ['30s', 30_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['30d', 2_592_000_000],
    ['007m', 420_000],
    ['999999999d', 999_999_999 * 86_400_000],
  ];
  for (const [text, ms] of good) t.equal(readDurationMs(text), ms, text);
  const bad = ['', 's', '5', '-5s', '+5s', '1.5h', '5 s', ' 5s', '5s ', '5S', '5w', '5ms', '5s5s'];
  for (const text of [...bad, '1234567890s', '5s\n', '٥s', '1e3s'])
    t.equal(readDurationMs(text), undefined, JSON.stringify(text));
});

t.test('sizes are bytes, or binary units in capitals', async (t) => {
  const good: [string, number][] = [
    ['0', 0],
    ['4096', 4096],
    ['64K', 65_536],
    ['20M', 20_971_520],
    ['2G', 2_147_483_648],
    ['1000000G', 1_000_000 * 1024 ** 3],
  ];
  for (const [text, bytes] of good) t.equal(readSizeBytes(text), bytes, text);
  const bad = ['', 'K', '-1', '1k', '1KB', '1T', '1.5M', '1 K', '1K\n', '0x10', '1e3', '٥'];
  for (const text of bad) t.equal(readSizeBytes(text), undefined, JSON.stringify(text));
  t.equal(readSizeBytes('999999999999G'), undefined, 'more than a number can hold');
});

t.test('sizes read as people say them', async (t) => {
  const said: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KB'],
    [1536, '1.5 KB'],
    [1024 ** 2 - 1, '1024.0 KB'],
    [1024 ** 2, '1.0 MB'],
    [2.5 * 1024 ** 3, '2.5 GB'],
    [1024 ** 4, '1.0 TB'],
    [5000 * 1024 ** 4, '5000.0 TB'],
  ];
  for (const [bytes, text] of said) t.equal(sizeText(bytes), text);
});

t.test('a moment is a time, or a duration from now, and comes out in UTC', async (t) => {
  const now = new Date('2026-03-01T12:00:00.000Z');
  const good: [string, string][] = [
    ['30s', '2026-03-01T11:59:30.000Z'],
    ['1d', '2026-02-28T12:00:00.000Z'],
    ['2026-12-24', '2026-12-24T00:00:00.000Z'],
    ['2026-12-24T18:00Z', '2026-12-24T18:00:00.000Z'],
    ['2026-12-24T18:00:01Z', '2026-12-24T18:00:01.000Z'],
    ['2026-12-24T18:00:01.5Z', '2026-12-24T18:00:01.500Z'],
    ['2026-12-24T18:00:00+02:00', '2026-12-24T16:00:00.000Z'],
  ];
  for (const [text, moment] of good) t.equal(readMoment(text, now, 'ago'), moment, text);
  t.equal(readMoment('1h', now, 'ahead'), '2026-03-01T13:00:00.000Z');
});

t.test('a time without a zone is UTC wherever the server stands', async (t) => {
  const zone = process.env['TZ'];
  process.env['TZ'] = 'America/New_York';
  t.teardown(() => {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  });
  const now = new Date();
  t.equal(readMoment('2026-06-01T10:00', now, 'ago'), '2026-06-01T10:00:00.000Z');
  t.equal(readMoment('2026-06-01T10:00:00', now, 'ago'), '2026-06-01T10:00:00.000Z');
});

t.test('what is no time is refused, and the refusal shows how one looks', async (t) => {
  const bad = ['', 'yesterday', '2026', '2026-13-01', '2026-02-30T25:00Z', '24.12.2026', '-5m'];
  for (const text of [...bad, '2026-12-24 18:00', '999999999d', '2026-01-01T00:00:00.1234Z'])
    t.throws(
      () => readMoment(text, new Date(), 'ago'),
      { code: 'usage', hint: /30d or an ISO 8601 time/ },
      JSON.stringify(text),
    );
});

t.test('a day that the month does not have is no time', async (t) => {
  for (const text of ['2026-02-30', '2026-02-29', '2026-04-31T10:00Z'])
    t.throws(() => readMoment(text, new Date(), 'ago'), { code: 'usage' }, text);
  t.equal(readMoment('2028-02-29', new Date(), 'ago'), '2028-02-29T00:00:00.000Z');
});
