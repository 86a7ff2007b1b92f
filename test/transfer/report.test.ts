import { createHash } from 'node:crypto';
import t from 'tap';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import { readReport, writeReport } from '../../src/transfer/receive-pack/report.ts';
import { packTail } from '../../src/transfer/receive-pack/tail.ts';

const bytes = (...lines: string[]): Buffer =>
  Buffer.concat([...lines.map((line) => pkt(line)), flushPkt]);

t.test('git’s reports are read, of the first version and of the second', (t) => {
  const report = readReport(
    bytes(
      'unpack ok\n',
      'ok refs/heads/main\n',
      'option refname refs/heads/other\n',
      'ng refs/heads/x failed to update ref\n',
      'ng refs/heads/y\n',
    ),
  );
  t.equal(report?.unpack, 'ok');
  t.same(
    [...(report?.refs ?? [])],
    [
      ['refs/heads/main', undefined],
      ['refs/heads/x', 'failed to update ref'],
      ['refs/heads/y', 'refused by git'],
    ],
  );
  t.equal(
    readReport(bytes('unpack index-pack abnormal exit\n'))?.unpack,
    'index-pack abnormal exit',
  );
  t.end();
});

t.test('a report that breaks off, or is none, is no report', (t) => {
  const whole = bytes('unpack ok\n', 'ok refs/heads/main\n');
  for (let length = 0; length < whole.length; length++) {
    t.equal(readReport(whole.subarray(0, length)), undefined, `${length} bytes`);
  }
  t.equal(readReport(bytes('ok refs/heads/main\n')), undefined);
  t.equal(readReport(Buffer.from('fatal: out of memory')), undefined);
  t.end();
});

t.test('our report has one line a ref, in order, and no reason breaks out of its line', (t) => {
  const name = (text: string) => Buffer.from(text);
  const report = writeReport('ok', [
    { name: name('refs/heads/b'), refused: undefined },
    { name: name('refs/heads/a'), refused: 'no\nok refs/heads/b\u001b[2J' },
    { name: Buffer.from([0x72, 0xff]), refused: 'x'.repeat(5000) },
  ]);

  const text = report.toString('latin1');
  t.ok(text.startsWith('000eunpack ok\n0014ok refs/heads/b\n'));
  t.match(text, 'ng refs/heads/a no\\x0aok refs/heads/b\\x1b[2J\n');
  t.match(text, 'ng r\xff xxx');
  t.ok(text.endsWith('x\n0000'));
  t.equal(readReport(report)?.refs.get('refs/heads/b'), undefined);
  t.ok(
    writeReport('ok', [{ name: Buffer.alloc(65_000, 'n'), refused: 'r'.repeat(600) }]).length <
      65_600,
  );
  t.end();
});

t.test('a pack’s last 20 bytes are held back, however it is cut, and tell its end', (t) => {
  const body = Buffer.concat([Buffer.from('PACK'), Buffer.alloc(300, 'b')]);
  const pack = Buffer.concat([body, createHash('sha1').update(body).digest()]);
  for (const size of [1, 7, 19, 20, 21, 64, 323, 324, 1000]) {
    const tail = packTail();
    const passed: Buffer[] = [];
    for (let at = 0; at < pack.length; at += size) {
      t.notOk(tail.isComplete(), `before byte ${at}`);
      passed.push(...tail.add(pack.subarray(at, at + size)));
    }
    t.ok(tail.isComplete(), `cut at ${size}`);
    t.ok(Buffer.concat(passed).equals(body));
    t.ok(Buffer.concat([...passed, tail.held()]).equals(pack));
  }
  const short = packTail();
  t.same(short.add(Buffer.from('abc')), []);
  t.notOk(short.isComplete());
  t.equal(short.held().toString(), 'abc');
  t.end();
});
