import t from 'tap';
import { matchesRef, refPatternFault } from '../../src/model/ref-pattern.ts';

t.test('a star crosses no slash, two stars do; a short pattern names branches', async (t) => {
  const cases: [pattern: string, ref: string, fits: boolean][] = [
    ['main', 'refs/heads/main', true],
    ['main', 'refs/heads/main2', false],
    ['main', 'refs/heads/xmain', false],
    ['main', 'refs/tags/main', false],
    ['refs/heads/main', 'refs/heads/main', true],
    ['*', 'refs/heads/main', true],
    ['*', 'refs/heads/ci/a', false],
    ['**', 'refs/heads/ci/a', true],
    ['**', 'refs/tags/v1', false],
    ['refs/**', 'refs/tags/v1', true],
    ['ci/*', 'refs/heads/ci/a', true],
    ['ci/*', 'refs/heads/ci/a/b', false],
    ['ci/**', 'refs/heads/ci/a/b', true],
    ['ci/**', 'refs/heads/ci', false],
    ['ci/*/x', 'refs/heads/ci/a/x', true],
    ['ci/*/x', 'refs/heads/ci/a/b/x', false],
    ['ci/**/x', 'refs/heads/ci/a/b/x', true],
    ['refs/tags/v*', 'refs/tags/v1.2', true],
    ['refs/tags/v*', 'refs/tags/v', true],
    ['refs/tags/v*.0', 'refs/tags/v1.0.0', true],
    ['refs/tags/v*.0', 'refs/tags/v1.0/0', false],
    ['*-**-x', 'refs/heads/a-b/c-x', true],
    ['*-**-x', 'refs/heads/a/b-c-x', false],
    ['v1.0', 'refs/heads/v1x0', false],
    ['größe/*', 'refs/heads/größe/𝒙', true],
  ];
  for (const [pattern, ref, fits] of cases) {
    t.equal(matchesRef(pattern, ref), fits, `${pattern} ${ref}`);
  }
});

t.test('S17 no pattern makes a match slow', async (t) => {
  const pattern = `${'*a'.repeat(120)}b`;
  const deep = `${'**/*'.repeat(60)}b`;
  const ref = `refs/heads/${'a'.repeat(1000)}`;
  const began = process.cpuUsage();

  for (let i = 0; i < 20; i++) {
    t.notOk(matchesRef(pattern, ref));
    t.notOk(matchesRef(deep, `${ref}/${'a/'.repeat(500)}`));
  }

  const { user } = process.cpuUsage(began);
  t.ok(user < 5_000_000, `${user / 1000} ms for 40 of the worst`);
  t.notOk(matchesRef('*'.repeat(300), ref), 'nothing fits what is too long');
});

t.test('what can be no ref is no pattern', async (t) => {
  for (const pattern of ['main', '*', '**', 'ci/*', 'refs/tags/v*', 'a*b**c']) {
    t.equal(refPatternFault(pattern), undefined, pattern);
  }
  const faults = ['', '***', 'a..b', 'a b', 'a//b', '/a', 'a?', '[a]', 'a\\', 'x'.repeat(300)];
  for (const pattern of faults) t.type(refPatternFault(pattern), 'string', pattern);
});
