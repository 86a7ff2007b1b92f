import t from 'tap';
import { UserError } from '../../src/model/errors.ts';
import { flushPkt, pkt, readPkt } from '../../src/model/pktline.ts';
import { nullOid } from '../../src/model/ref.ts';
import { commandReader, writeCommands } from '../../src/transfer/receive-pack/commands.ts';

const one = '1'.repeat(40);
const two = '2'.repeat(40);

/** Reads a list, and answers what is left of the bytes besides. */
function read(bytes: Buffer, refsPerPush = 100) {
  const reader = commandReader(refsPerPush);
  let rest = bytes;
  for (;;) {
    const next = readPkt(rest);
    if (next === undefined) return { list: reader.list(), complete: false, rest };
    rest = rest.subarray(next.next);
    if (reader.add(next.pkt)) return { list: reader.list(), complete: true, rest };
  }
}

const packets = (...lines: (string | Buffer)[]): Buffer =>
  Buffer.concat([...lines.map((line) => pkt(line)), flushPkt]);

const faults = (...lines: string[]): (string | undefined)[] =>
  read(packets(...lines)).list.commands.map(({ fault }) => fault);

t.test(
  'a list is read: shallow lines, commands, capabilities, options, and no byte of the pack',
  (t) => {
    const bytes = Buffer.concat([
      packets(
        `shallow ${one}\n`,
        `shallow ${two}`,
        `${nullOid} ${one} refs/heads/main\0 report-status push-options  agent=git/2.39.5\n`,
        `${one} ${two} refs/heads/ü\n`,
        `${one} ${nullOid} refs/tags/v1`,
      ),
      packets('ci.skip\n', 'a=b'),
      Buffer.from('PACK…'),
    ]);

    const { list, complete, rest } = read(bytes);

    t.ok(complete);
    t.equal(rest.toString(), 'PACK…');
    t.same(list.shallow, [one, two]);
    t.same([...list.capabilities], ['report-status', 'push-options', 'agent=git/2.39.5']);
    t.same(list.pushOptions.map(String), ['ci.skip', 'a=b']);
    t.same(
      list.commands.map(({ ref, old, new: next, fault }) => [ref, old, next, fault]),
      [
        ['refs/heads/main', nullOid, one, undefined],
        ['refs/heads/ü', one, two, undefined],
        ['refs/tags/v1', one, nullOid, undefined],
      ],
    );
    t.end();
  },
);

t.test('a flush alone is a push of nothing', (t) => {
  t.match(read(flushPkt), { complete: true, list: { commands: [] } });
  t.match(read(packets(`shallow ${one}`)), { complete: true, list: { commands: [] } });
  t.end();
});

t.test('S16 each form that can’t be right is refused ref by ref', (t) => {
  const main = `${one} ${two} refs/heads/main`;
  t.same(faults(main), [undefined]);
  t.match(faults(`${nullOid} ${nullOid} refs/heads/main`, main), [
    'named twice in one push',
    'named twice in one push',
  ]);
  t.match(faults(`${nullOid} ${nullOid} refs/heads/x`, main), [/neither/, undefined]);
  t.match(faults(main, `${one} ${two} refs/heads/other`, main), [/twice/, undefined, /twice/]);
  for (const ref of ['refs/replace/x', 'refs/cpm/archive/x', 'refs/for/main', 'refs/pull/1/head']) {
    t.match(faults(`${one} ${two} ${ref}`), [/only refs\/heads/], ref);
  }
  for (const ref of ['HEAD', 'main', 'refs/heads/a..b', 'refs/heads/x.lock', 'refs/heads/a b']) {
    t.match(faults(`${one} ${two} ${ref}`), [/no ref name/], ref);
  }
  t.end();
});

t.test('what no git client sends ends the push', (t) => {
  const streams: [string, Buffer][] = [
    ['no oid', packets('hello')],
    ['capital digits', packets(`${'A'.repeat(40)} ${one} refs/heads/x`)],
    ['39 digits', packets(`${one.slice(1)} ${one} refs/heads/xx`)],
    [
      'sha256 oids',
      packets(`${one.repeat(2).slice(0, 64)} ${two.repeat(2).slice(0, 64)} refs/heads/x`),
    ],
    ['a tab', packets(`${one}\t${two} refs/heads/x`)],
    ['no name', packets(`${one} ${two} `)],
    ['an empty packet', packets('')],
    ['a late shallow line', packets(`${one} ${two} refs/heads/x`, `shallow ${one}`)],
    ['a shallow line of nothing', packets('shallow x')],
    [
      'late capabilities',
      packets(`${one} ${two} refs/heads/x`, `${one} ${two} refs/heads/y\0atomic`),
    ],
    ['another object format', packets(`${one} ${two} refs/heads/x\0object-format=sha256`)],
    ['a delimiter', Buffer.from('0001')],
    ['a certificate', packets('push-cert\0report-status\n')],
    ['a late certificate', packets(`${one} ${two} refs/heads/x`, 'push-cert\n')],
  ];
  for (const [title, bytes] of streams) t.throws(() => read(bytes), { code: 'usage' }, title);
  t.end();
});

t.test('the list is read no further than its limits', (t) => {
  const lines = Array.from({ length: 20 }, (_, n) => `${one} ${two} refs/heads/b${n}`);
  t.match(read(packets(...lines), 20), { complete: true, list: { overLimit: false } });
  const over = read(packets(...lines), 10);
  t.equal(over.list.overLimit, true);
  t.equal(over.list.commands.length, 11);

  const long = Array.from({ length: 50 }, (_, n) => `shallow ${one}${'\n'.repeat(n % 2)}`);
  t.equal(read(packets(...long), 10).list.overLimit, false);
  const big = Buffer.alloc(60_000, 'x');
  const options = packets(`${one} ${two} refs/heads/x\0push-options`);
  const flood = Buffer.concat([options, packets(...Array.from({ length: 20 }, () => big))]);
  const { list, rest } = read(flood, 10);
  t.equal(list.overLimit, true);
  t.ok(rest.length > 500_000, 'the rest was not read');
  t.end();
});

t.test('git gets the list written anew, with capabilities of our choice alone', (t) => {
  const { list } = read(
    Buffer.concat([
      packets(
        `shallow ${one}`,
        `${nullOid} ${one} refs/heads/a\0 report-status push-options evil=1\n`,
        `${one} ${two} refs/heads/b\n`,
      ),
      packets('option'),
    ]),
  );

  const some = writeCommands(list, list.commands.slice(1), ['report-status', 'push-options']);
  const again = read(some);

  t.ok(again.complete);
  t.equal(again.rest.length, 0);
  t.match(again.list.commands, [{ ref: 'refs/heads/b', old: one, new: two }]);
  t.same([...again.list.capabilities], ['report-status', 'push-options']);
  t.same(again.list.pushOptions.map(String), ['option']);
  t.notMatch(some.toString(), 'evil');
  t.match(read(writeCommands(list, list.commands, [])), {
    complete: true,
    list: { pushOptions: [] },
  });
  t.end();
});

t.test('500 mutilated lists: read, refused, or not at their end; never more than allowed', (t) => {
  const good = Buffer.concat([
    packets(
      `shallow ${one}\n`,
      `${nullOid} ${one} refs/heads/main\0 report-status push-options\n`,
      `${one} ${two} refs/heads/x\n`,
      `${one} ${nullOid} refs/tags/v1\n`,
    ),
    packets('ci.skip'),
  ]);
  const random = randomFrom(11);
  const seen = { read: 0, refused: 0, open: 0 };
  for (let nth = 0; nth < 500; nth++) {
    let bytes = Buffer.from(good);
    for (let change = random(4) + 1; change > 0; change--) {
      const at = random(bytes.length);
      const kind = random(4);
      if (kind === 0) bytes[at] = random(256);
      if (kind === 1) bytes = bytes.subarray(0, at);
      if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes]);
      if (kind === 3)
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random(8))]);
      if (bytes.length === 0) break;
    }
    try {
      const { list, complete } = read(bytes, 3);
      t.ok(list.commands.length <= 4);
      for (const { fault, old, new: next, ref } of list.commands) {
        if (fault !== undefined) continue;
        t.match(`${old} ${next}`, /^[0-9a-f]{40} [0-9a-f]{40}$/);
        t.match(ref, /^refs\/(heads|tags|notes)\/./);
      }
      if (complete) seen.read += 1;
      else seen.open += 1;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      seen.refused += 1;
    }
  }
  t.ok(seen.read > 20 && seen.refused > 20 && seen.open > 20, JSON.stringify(seen));
  t.end();
});

/** The same numbers each time, so that what fails once can be looked at again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
