import { spawnSync } from 'node:child_process';
import t from 'tap';
import { isOid, shortOid } from '../../src/model/oid.ts';
import { isWritableRef, longestRef, refFault, shortRef } from '../../src/model/ref.ts';

const names = [
  'refs/heads/main',
  'refs/heads/feature/x-1_2',
  'refs/tags/v1.0',
  'refs/heads/ü',
  'refs/heads/日本',
  'refs/heads/-x',
  'refs/heads/@',
  'refs/heads/a@b',
  'refs/heads/a@{b',
  'refs/heads/{',
  'refs/heads/a.lock',
  'refs/heads/a.lock/b',
  'refs/heads/a.locker',
  'refs/heads/.a',
  'refs/heads/a/.b',
  'refs/heads/a.',
  'refs/heads/a./b',
  'refs/heads/a..b',
  'refs/heads/a...b',
  'refs/heads/a b',
  'refs/heads/a\tb',
  'refs/heads/a\x7fb',
  'refs/heads/a\x1bb',
  'refs/heads/a~b',
  'refs/heads/a^b',
  'refs/heads/a:b',
  'refs/heads/a?b',
  'refs/heads/a*b',
  'refs/heads/a[b',
  'refs/heads/a]b',
  'refs/heads/a\\b',
  'refs/heads/',
  'refs/heads//a',
  'refs//a',
  'refs/heads/a/',
  'refs/heads/.',
  'refs/heads/..',
  'refs/heads/a"b',
  "refs/heads/a'b",
  'refs/heads/a$b',
  'refs/heads/a;b|c&d',
];

t.test('a ref name is one exactly when git says so', (t) => {
  for (const name of names) {
    const { status } = spawnSync('git', ['check-ref-format', name]);
    t.equal(refFault(name) === undefined, status === 0, `${name}: ${refFault(name)}`);
  }
  t.end();
});

t.test('what lies outside refs/ or is endless is no ref name here', (t) => {
  for (const name of ['HEAD', 'main', 'heads/main', '/refs/heads/x', 'Refs/heads/x', '']) {
    t.match(refFault(name), /does not begin with refs/, name);
  }
  t.equal(refFault(`refs/heads/${'x'.repeat(longestRef - 11)}`), undefined);
  t.match(refFault(`refs/heads/${'x'.repeat(longestRef)}`), /longer than 1024 bytes/);
  t.match(refFault(`refs/heads/${'ü'.repeat(longestRef / 2)}`), /longer than/, 'bytes count');
  t.end();
});

t.test('S12 branches, tags and notes are writable, and nothing else', (t) => {
  for (const ref of ['refs/heads/main', 'refs/tags/v1', 'refs/notes/commits'])
    t.ok(isWritableRef(ref));
  for (const ref of [
    'refs/replace/x',
    'refs/cpm/archive/x',
    'refs/headsx/y',
    'refs/heads/',
    'refs/for/main',
    'refs/remotes/origin/main',
    'HEAD',
    '',
  ]) {
    t.notOk(isWritableRef(ref), ref);
  }
  t.end();
});

t.test('oids are 40 lowercase hex digits; refs and oids have a short form', (t) => {
  t.ok(isOid('0123456789abcdef0123456789abcdef01234567'));
  for (const word of ['', '0'.repeat(39), '0'.repeat(41), 'A'.repeat(40), `${'0'.repeat(40)}\n`]) {
    t.notOk(isOid(word), word);
  }
  t.equal(shortOid('0123456789abcdef0123456789abcdef01234567'), '0123456');
  t.equal(shortRef('refs/heads/feature/x'), 'feature/x');
  t.equal(shortRef('refs/tags/v1'), 'refs/tags/v1');
  t.end();
});
