import t from 'tap';
import { ProgressLine, progressText } from '../../src/shell/progress.ts';

/** A terminal of so many columns, and a clock that goes as it is told. */
function terminal(columns: number) {
  const written: string[] = [];
  const clock = { ms: 5000 };
  const line = new ProgressLine(
    (text) => written.push(text),
    columns,
    () => clock.ms,
  );
  const at = (ms: number, done: number, what = 'Checking objects') => {
    clock.ms = 5000 + ms;
    line.show({ what, done, total: 100 });
  };
  return { written, line, at };
}

t.test('what is done within a second shows no progress, and leaves nothing to clear', async (t) => {
  const { written, line, at } = terminal(80);

  at(0, 1);
  at(500, 50);
  at(999, 99);
  line.end();

  t.strictSame(written, []);
});

t.test('then the line is written over five times a second at most, and cleared', async (t) => {
  const { written, line, at } = terminal(80);

  at(0, 0);
  for (let ms = 1000; ms <= 2000; ms += 50) at(ms, ms / 25);
  line.end();

  t.equal(written.length, 7);
  t.ok(
    written.every((text) => text.startsWith('\r') && text.endsWith('\x1b[K')),
    'in its place',
  );
  t.equal(written.at(-1), '\r\x1b[K', 'the last takes it away');
  t.match(written[0], /Checking objects \[#{8}\.{12}\] 40% 40\/100, 40\/s, 2 s left/);
});

t.test('each stage has a rate and a time left of its own', async (t) => {
  const { written, at } = terminal(80);

  at(0, 0);
  at(10_000, 100);
  at(10_500, 0, 'Compressing objects');
  at(11_500, 50, 'Compressing objects');

  t.match(written.at(-1), /Compressing objects .* 50% 50\/100, 50\/s, 1 s left/);
});

t.test('a line is shorter than its terminal, and outside text can not steer that', async (t) => {
  const { written, at } = terminal(30);

  at(0, 0, 'x\x1b[2J');
  at(1500, 50, 'x\x1b[2J');

  const [text = ''] = written;
  t.ok(text.slice(1, text.indexOf('\x1b')).length <= 29, text);
  t.notMatch(text.slice(0, -3), '\x1b');
});

t.test('without a total, bytes and their rate', async (t) => {
  t.equal(
    progressText({ what: 'Receiving', done: 2048, total: 0 }, 2),
    'Receiving 2.0 KB, 1.0 KB/s',
  );
  t.equal(progressText({ what: 'Receiving', done: 0, total: 0 }, 0), 'Receiving 0 B, 0 B/s');
  t.match(progressText({ what: 'x', done: 0, total: 10 }, 0), /0% 0\/10, 0\/s$/, 'no guess');
  t.match(progressText({ what: 'x', done: 20, total: 10 }, 1), /#{20}\] 100% .*, 0 s left/, 'more');
});
