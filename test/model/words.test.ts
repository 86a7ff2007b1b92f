import { spawnSync } from 'node:child_process';
import t from 'tap';
import { splitWords } from '../../src/model/words.ts';

t.test('words are split as a POSIX shell splits them, with nothing expanded', async (t) => {
  const rows: [string, string[]][] = [
    ['', []],
    ['  \t ', []],
    ['repo list', ['repo', 'list']],
    ['  repo   list\t x ', ['repo', 'list', 'x']],
    ["git-upload-pack '/acme/app.git'", ['git-upload-pack', '/acme/app.git']],
    ["git-upload-pack '/it'\\''s.git'", ['git-upload-pack', "/it's.git"]],
    ["git-upload-pack '/wow'\\!'.git'", ['git-upload-pack', '/wow!.git']],
    ['a"b c"d', ['ab cd']],
    ['"a\\"b" "c\\\\d" "e\\$f" "g\\h"', ['a"b', 'c\\d', 'e$f', 'g\\h']],
    ['a\\ b \\"c\\\' d\\\\', ['a b', '"c\'', 'd\\']],
    ['\'\' "" x', ['', '', 'x']],
    ['\'\'""', ['']],
    ["'a\\b' 'a\"b'", ['a\\b', 'a"b']],
    ["--message 'one\ntwo\tthree'", ['--message', 'one\ntwo\tthree']],
    ['a \\\nb "c\\\nd"', ['a', 'b', 'cd']],
    ['list\n', ['list']],
    ['list \n \n', ['list']],
    ['a\u00a0b ümläut 日本', ['a\u00a0b', 'ümläut', '日本']],
  ];
  for (const [line, words] of rows) t.same(splitWords(line), words, JSON.stringify(line));
});

t.test('a shell agrees, where it is asked about the same line', async (t) => {
  const lines = [
    "a 'b c' d",
    "'/it'\\''s.git'",
    '"a\\"b" "c\\\\d" "e\\$f" "g\\h" "i\\`j"',
    'a\\ b \\"c\\\' "" \'\'',
    'x\'y\'"z"\\w',
    'a \\\nb "c\\\nd"',
    "'one\ntwo' three",
  ];
  for (const line of lines) {
    const { stdout } = spawnSync('sh', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' });
    t.same(splitWords(line), stdout.split('\0').slice(0, -1), JSON.stringify(line));
  }
});

t.test('what a shell would expand or run stays as it is', async (t) => {
  const line = '$HOME $x `id` $(id) * ? [a] ~ ~/x {a,b} a|b a;b a&b a>b <b (c) #d !e =f';
  t.same(splitWords(line), [
    ...['$HOME', '$x', '`id`', '$(id)', '*', '?', '[a]', '~', '~/x', '{a,b}', 'a|b', 'a;b', 'a&b'],
    ...['a>b', '<b', '(c)', '#d', '!e', '=f'],
  ]);
});

t.test(
  'open quotes, control characters and second lines are usage errors that say so',
  async (t) => {
    const rows: [string, RegExp][] = [
      ["a 'b", /open quote \('\)/],
      ['a "b', /open quote \("\)/],
      ['a "b\\', /open quote \("\)/],
      ['a "b\\"', /open quote \("\)/],
      ['a\\', /ends with a backslash/],
      ['a\nb', /more than one line/],
      ['a \n\n b', /more than one line/],
      ['a\0b', /control character in it \(0x00\)/],
      ["'a\0b'", /control character in it \(0x00\)/],
      ['a\rb', /control character in it \(0x0d\)/],
      ["'\u001b[2J'", /control character in it \(0x1b\)/],
      ['a\u007f', /control character in it \(0x7f\)/],
    ];
    for (const [line, message] of rows) {
      t.throws(() => splitWords(line), { code: 'usage', message }, JSON.stringify(line));
    }
  },
);

t.test('64 KiB are split, one byte more is a usage error, whatever is in it', async (t) => {
  t.equal(splitWords('x'.repeat(65_536)).length, 1);
  t.equal(splitWords('a '.repeat(32_768)).length, 32_768);
  for (const text of ['x'.repeat(65_537), 'é'.repeat(32_769), `a '${'x'.repeat(100_000)}`]) {
    t.throws(() => splitWords(text), { code: 'usage', message: /too long: \d+ bytes, 65536/ });
  }
});

t.test('the longest lines of the worst kind are split in no time', async (t) => {
  const began = Date.now();
  for (const piece of ["''", '""', '\\a', 'a ', "'a'", '"\\""']) {
    splitWords(piece.repeat(Math.floor(65_536 / piece.length)));
  }
  t.ok(Date.now() - began < 2000, `${Date.now() - began} ms`);
});
