import t from 'tap';
import {
  checkName,
  checkNamespace,
  escapeControls,
  isReserved,
  nameFault,
  parseAlias,
  parseRepoName,
  parseRepoPath,
  quoted,
  repoPathText,
} from '../../src/model/repo.ts';

t.test('names are short, plain and of small letters', async (t) => {
  const good = ['a', '0', 'app', 'my-app', 'my_app', 'v1.2', 'a.b.c', 'a-', '4.', 'x'.repeat(63)];
  for (const name of [...good, 'cpm', 'constructor', 'git', 'a.gitx', 'locks'])
    t.equal(nameFault(name), undefined, name);
  const bad = ['', '.', '..', '-a', '_a', '.a', 'a..b', 'a/b', 'a b', 'a\n', 'a\0', 'ä', 'a\\'];
  const hostile = [
    'x'.repeat(64),
    'a.git',
    'a.lock',
    'A',
    'aB',
    'a:b',
    '~a',
    'a@b',
    'a*',
    '__proto__',
  ];
  for (const name of [...bad, ...hostile]) t.type(nameFault(name), 'string', JSON.stringify(name));
});

t.test('capitals are refused, never folded, and the refusal says so', async (t) => {
  t.throws(() => checkName('App', 'user'), {
    code: 'usage',
    message: '"App" is not a user name: capitals are not allowed',
  });
});

t.test('reserved words name no user and no organization, but a repository', async (t) => {
  for (const name of ['cpm', 'git', 'root', 'nobody', 'operator', 'anonymous']) {
    t.ok(isReserved(name), name);
    t.throws(() => checkNamespace(name, 'user'), { code: 'usage', message: /reserved/ }, name);
    t.equal(parseRepoPath(`acme/${name}`).name, name);
  }
  t.notOk(isReserved('constructor'));
});

t.test('a path loses one leading slash or ~/, one .git and one slash at its end', async (t) => {
  const full = { namespace: 'acme', name: 'app' };
  const bare = { namespace: undefined, name: 'app' };
  for (const path of ['acme/app', '/acme/app', '~/acme/app', 'acme/app.git', 'acme/app/'])
    t.strictSame(parseRepoPath(path), full, path);
  for (const path of ['/acme/app.git', '/acme/app.git/', '~/acme/app.git/'])
    t.strictSame(parseRepoPath(path), full, path);
  for (const path of ['app', '/app', '~/app', 'app.git', 'app/', '/app.git/'])
    t.strictSame(parseRepoPath(path), bare, path);
});

t.test('what leads elsewhere, or could, is no path', async (t) => {
  const bad = ['', '/', '//', '.', '..', '~', '.git', '/.git', '../acme/app', 'acme/../app'];
  const hostile = [
    '//acme/app',
    'acme//app',
    'acme/app//',
    'acme/.git',
    'acme/app.git.git',
    '~ana/app',
  ];
  const more = ['-oProxyCommand=x', '--upload-pack=x/y', 'acme/-app', 'acme/a b'];
  for (const path of [
    ...bad,
    ...hostile,
    ...more,
    'acme/app\n',
    'acme/a\0b',
    'acme\\app',
    "a'b",
    'acme/app.lock',
  ])
    t.throws(
      () => parseRepoPath(path),
      { code: 'usage', message: /is not a repository name: / },
      JSON.stringify(path),
    );
});

t.test(
  'a path that no repository is called may be an alias, whatever its case and depth',
  async (t) => {
    for (const path of ['Acme/app', 'acme/App', 'App', 'a/b/c', 'Old/Group/Thing', 'a/B/c/D/e']) {
      for (const form of [path, `/${path}`, `~/${path}.git`, `${path}.git/`]) {
        t.strictSame(parseRepoPath(form), { namespace: undefined, name: '', alias: path }, form);
        t.equal(repoPathText(parseRepoPath(form)), path);
        t.equal(parseAlias(form), path);
      }
      t.throws(() => parseRepoName(path), { code: 'usage', message: /is not a repository name: / });
    }
    t.equal(parseAlias('acme/app.git'), 'acme/app');
    t.strictSame(parseRepoName('acme/app.git'), { namespace: 'acme', name: 'app' });
    const deep = Array(10).fill('a').join('/');
    t.equal(parseAlias(deep), deep);
    for (const path of [`${deep}/a`, 'a//b', 'a/../b', 'a/.git/b', `A/${'b'.repeat(64)}`])
      t.throws(() => parseAlias(path), { code: 'usage', message: /can be no alias: / }, path);
    t.throws(() => parseAlias(Array(5).fill('a'.repeat(60)).join('/')), {
      message: /longer than 255/,
    });
  },
);

t.test('a path is shown as it was meant', async (t) => {
  t.equal(repoPathText({ namespace: 'acme', name: 'app' }), 'acme/app');
  t.equal(repoPathText({ namespace: undefined, name: 'app' }), 'app');
});

t.test('controls of terminals and of text direction are shown, not sent', async (t) => {
  const shown: [string, string][] = [
    ['plain – ünïcode 漢字 🙂', 'plain – ünïcode 漢字 🙂'],
    ['a\nb\tc', 'a\\x0ab\\x09c'],
    ['\x1b[31mred', '\\x1b[31mred'],
    ['\x9b31m', '\\x9b31m'],
    ['\x7f\x00', '\\x7f\\x00'],
    ['a\u202eb\u2066c\u200fd\u2028', 'a\\u202eb\\u2066c\\u200fd\\u2028'],
  ];
  for (const [text, escaped] of shown) t.equal(escapeControls(text), escaped);
});

t.test('a quoted word is escaped, and cut when it is long', async (t) => {
  t.equal(quoted('a\x1bb'), '"a\\x1bb"');
  t.equal(quoted('x'.repeat(80)), `"${'x'.repeat(80)}"`);
  t.equal(quoted('x'.repeat(100_000)), `"${'x'.repeat(80)}…"`);
  t.equal(quoted('https://ana:secret@host/x'), '"https://ana:…@host/x"', 'a password is not shown');
  t.equal(
    quoted(`ssh://a:${'s'.repeat(200)}@host`),
    '"ssh://a:…@host"',
    'nor the first half of one',
  );
  t.equal(quoted('ssh://cpm@host:22/x'), '"ssh://cpm@host:22/x"');
});
