import t from 'tap';
import { matchesGlob } from '../../src/model/glob.ts';

t.test(
  'a star stands for any characters, a question mark for one, all else for itself',
  async (t) => {
    const cases: [pattern: string, text: string, matches: boolean][] = [
      ['', '', true],
      ['', 'a', false],
      ['acme/app', 'acme/app', true],
      ['acme/app', 'acme/apps', false],
      ['acme/app', 'cme/app', false],
      ['acme/*', 'acme/app', true],
      ['acme/*', 'acme/', true],
      ['acme/*', 'acme', false],
      ['*', '', true],
      ['*', 'acme/app', true],
      ['**', 'acme/app', true],
      ['*/app', 'acme/app', true],
      ['*/app', 'acme/apps', false],
      ['*app*', 'acme/app', true],
      ['a*p', 'acme/app', true],
      ['a*e/*p', 'acme/app', true],
      ['a*x*p', 'acme/app', false],
      ['acme/ap?', 'acme/app', true],
      ['acme/ap?', 'acme/ap', false],
      ['????????', 'acme/app', true],
      ['?', '', false],
      ['*?', '', false],
      ['*?', 'a', true],
      ['*aab', 'aaaab', true],
      ['*.js', 'a.jsx', false],
      ['a.c', 'abc', false],
      ['a+', 'aa', false],
      ['[ab]', 'a', false],
      ['[ab]', '[ab]', true],
      ['__proto__', '__proto__', true],
    ];
    for (const [pattern, text, matches] of cases)
      t.equal(matchesGlob(pattern, text), matches, `${pattern} and ${text}`);
  },
);

t.test('S17 no pattern is slow: steps grow with pattern times text, not faster', async (t) => {
  const text = 'a'.repeat(20_000);
  const pattern = `${'*a'.repeat(90)}*b`;
  const began = process.hrtime.bigint();

  t.equal(matchesGlob(pattern, text), false);

  const ms = Number(process.hrtime.bigint() - began) / 1e6;
  t.ok(ms < 500, `it took ${ms} ms`);
});
