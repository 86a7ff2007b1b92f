import t from 'tap';
import type { Format } from '../../src/commands/command.ts';
import { checkFormat } from '../../src/shell/formats.ts';

const fingerprint = `SHA256:${'A'.repeat(42)}+`;
const controls = ['a\0', 'a\nb', '\x1b[31m', 'a\u202eb', 'a\x9bb', 'a\x7f'];
const long = 'x'.repeat(4097);
const names = ['ana', 'a', '0', 'a.b-c_d', 'x'.repeat(63), 'constructor'];
const noNames = [
  '',
  'Ana',
  'a b',
  '-a',
  '__proto__',
  'a..b',
  'a/b',
  'a.git',
  'a.lock',
  'ä',
  'x'.repeat(64),
];

const noPaths = [
  '',
  '../x',
  'a/../b',
  '-oProxyCommand=x',
  '--upload-pack=x/y',
  'a/b\n',
  'a b',
  'acme/.git',
  'acme/x.lock',
  'x'.repeat(100_000),
];

const words: Record<Format, { good: string[]; bad: string[] }> = {
  acts: {
    good: ['create', 'force,delete', 'create,update,force,delete'],
    bad: ['', 'push', 'force,', ',force', 'force delete', 'Force', '*'],
  },
  address: {
    good: ['192.0.2.7', '192.0.2.0/24', '2001:db8::7', '2001:DB8:0:0::/64', '::1', 'others'],
    bad: [
      '',
      'x',
      '192.0.2',
      '192.0.2.0/8',
      '2001:db8::/32',
      '::1/',
      '1.2.3.4 ',
      '192.0.2.7/24/24',
    ],
  },
  alias: {
    good: ['Old/Group/Thing.git', 'app', 'a/b', 'A', '/a/b/c.git/', 'a/'.repeat(9).concat('a')],
    bad: [
      ...noPaths,
      'a/'.repeat(10).concat('a'),
      'a/b.git/c',
      'x'.repeat(60).concat('/').repeat(5),
    ],
  },
  branch: {
    good: ['main', 'feature/x', 'v1.0', 'ä', 'x'.repeat(1000)],
    bad: [
      '',
      'refs/heads/main',
      'a..b',
      'a b',
      'a~1',
      'a^',
      'a:b',
      'a.lock',
      '.a',
      'a/',
      '/a',
      'a//b',
      'a@{1}',
      'a\\b',
      'a*',
      'a.',
      'x'.repeat(1100),
    ],
  },
  invitation: {
    good: [
      `cpm-invitation,backup,cpm@hq.example.org:2222,SHA256:${'a'.repeat(43)},${'b'.repeat(22)}`,
      `cpm-invitation,dev,cpm@[::1]:2222,SHA256:${'a'.repeat(43)},${'b'.repeat(22)}`,
    ],
    bad: [
      '',
      'cpm-invitation',
      `cpm-invitation,owner,cpm@hq:22,SHA256:${'a'.repeat(43)},${'b'.repeat(22)}`,
      `cpm-invitation,dev,cpm@-oX:22,SHA256:${'a'.repeat(43)},${'b'.repeat(22)}`,
      `cpm-invitation,dev,cpm@hq:22,MD5:${'a'.repeat(43)},${'b'.repeat(22)}`,
      `cpm-invitation,dev,cpm@hq:22,SHA256:${'a'.repeat(43)},${'b'.repeat(21)}`,
      `cpm-invitation,dev,cpm@hq:22,SHA256:${'a'.repeat(43)},${'b'.repeat(22)},more`,
    ],
  },
  server: { good: ['b', 'hq-2', 'x.y'], bad: ['', 'B', 'a/b', 'a..b', 'x'.repeat(64)] },
  'server-url': {
    good: [
      'cpm@b.example.org',
      'cpm@b:2222',
      'git@127.0.0.1:22',
      'cpm@[::1]:2222',
      'ssh://cpm@b:22/',
    ],
    bad: [
      '',
      'b',
      'root@b',
      'cpm@',
      'cpm@b:0',
      'cpm@b:70000',
      'cpm@-oProxyCommand=x',
      'cpm@b c',
      'cpm@b/x',
      'cpm@b;id',
      'cpm@$(id)',
      'cpm@[x]:1',
      'cpm@::1',
    ],
  },
  rate: { good: ['500K', '20M', 'unlimited'], bad: ['', '0', '-1', '20 M', 'fast'] },
  description: {
    good: ['', 'An app – ünïcode 漢字 🙂', '-x', long.slice(1)],
    bad: [long, ...controls],
  },
  duration: {
    good: ['30s', '10m', '2h', '30d'],
    bad: ['', '5', '1w', '-1s', '1.5h', '2026-01-01'],
  },
  file: { good: ['-', 'a.pub', '/etc/x', '../x', 'a b'], bad: [long, ...controls] },
  fingerprint: {
    good: [fingerprint],
    bad: [
      '',
      fingerprint.slice(7),
      fingerprint.slice(0, -1),
      `${fingerprint}A`,
      `${fingerprint}=`,
      `MD5:${'a'.repeat(43)}`,
      fingerprint.toLowerCase(),
      `${fingerprint}\n`,
    ],
  },
  head: {
    good: [`1:${'0'.repeat(64)}`, `${'9'.repeat(15)}:${'a'.repeat(64)}`],
    bad: ['', 'x', '1', `1:${'0'.repeat(63)}`, `:${'0'.repeat(64)}`, `1:${'A'.repeat(64)}`],
  },
  listen: { good: ['127.0.0.1:0', '[::1]:2222'], bad: [long, ...controls] },
  message: {
    good: ['one line', 'Title\n\nbody\twith a tab\r\n', 'ünïcode 漢字 🙂', '-', 'x'.repeat(65_536)],
    bad: ['a\0b', 'a\u001b[2Jb', 'a\u009bb', 'a\u202eb', 'x'.repeat(65_537), 'ä'.repeat(33_000)],
  },
  moment: {
    good: ['30d', '2026-12-24', '2026-12-24T18:00:00Z'],
    bad: ['', 'soon', '2026-02-30', '1w'],
  },
  name: { good: [...names, 'root'], bad: noNames },
  namespace: {
    good: names,
    bad: [...noNames, 'cpm', 'git', 'root', 'nobody', 'operator', 'anonymous'],
  },
  oid: {
    good: ['1a2b3c4', 'a'.repeat(40)],
    bad: ['', '1a2b3c', 'a'.repeat(41), 'A'.repeat(40), 'main', '@1'],
  },
  'new-repo': {
    good: ['app', 'acme/app', '/acme/app.git/', '~/app', 'acme/git'],
    bad: [...noPaths, 'Acme/app', 'App', 'a/b/c'],
  },
  path: { good: ['-', './x', '/etc/x'], bad: [long, ...controls] },
  pattern: {
    good: ['*', 'acme/*', 'a?c', 'acme/app', '-*', '*'.repeat(200)],
    bad: ['', 'Acme/*', 'a b', '[ab]', 'a{b}', '(a+)+', 'ä', '*\n', '*'.repeat(201)],
  },
  refs: {
    good: ['main', 'ci/*', '**', 'refs/tags/v*', 'ä/**'],
    bad: ['', '***', 'a..b', 'a b', 'a?', '[a]', '/a', 'a/', '*\n', '*'.repeat(300)],
  },
  repo: {
    good: ['app', 'acme/app', '/acme/app.git/', '~/app', 'acme/git', 'Acme/app', 'a/b/c'],
    bad: noPaths,
  },
  setting: {
    good: ['limits.idle', 'data_dir', 'shutdown.grace'],
    bad: ['', 'NONSENSE', 'limits', 'limits.idel', 'constructor', '__proto__', 'limits.idle '],
  },
  ref: {
    good: ['main', 'a/b', 'refs/heads/main', 'refs/tags/v1'],
    bad: ['', 'a b', 'a..b', 'refs/heads/', 'a*', 'HEAD~1', 'a.lock', 'a\0'],
  },
  'ref-pattern': {
    good: ['main', '*', '**', 'release/*', 'refs/tags/v*', 'refs/**', 'refs/notes/x', 'a*b**c'],
    bad: [
      '',
      'a b',
      'a..b',
      '/a',
      'a/',
      'a?',
      '[ab]',
      '***',
      'refs/cpm/**',
      'refs/replace/*',
      'refs/heads',
      'refs/headsx/*',
      '^main',
      'x'.repeat(300),
    ],
  },
  size: { good: ['0', '4096', '64K', '20M', '2G'], bad: ['', '1T', '1.5M', '-1', '20 M', '20MB'] },
  whom: {
    good: ['ana', 'ana,bo', 'org:acme', 'team:acme/devs', 'right:admin', 'ana,right:owner'],
    bad: ['', 'ana,', 'right:', 'right:none', 'right:Admin', 'user:ana', 'team:devs', 'key:x'],
  },
  source: {
    good: ['main', 'feature/x', 'v1.0', 'refs/heads/main', 'refs/tags/v1', 'a'.repeat(40), 'HEAD'],
    bad: [
      '',
      '-x',
      '--upload-pack=x',
      'main~1',
      'main^',
      'main@{1}',
      'a..b',
      ':/fix',
      'refs/cpm/archive/x',
      'refs/notes/x',
      'refs/heads/',
      'x'.repeat(1100),
    ],
  },
  text: { good: ['', 'anything: 漢字', '-'], bad: [long, ...controls] },
  url: { good: ['cpm@host:2222'], bad: [long, ...controls] },
  value: {
    good: ['@1', '@999999999', '1a2b', 'A'.repeat(40), '2h', '2026-12-24T18:00:00Z'],
    bad: ['', '@', '@0', '@-1', '@1x', 'a2b', 'a'.repeat(41), 'main', 'HEAD~1', 'soon'],
  },
  uuid: {
    good: ['0b9d1f3e-58c2-4a57-9a0e-6f0c2f0f6a11'],
    bad: ['', 'x', '0B9D1F3E-58C2-4A57-9A0E-6F0C2F0F6A11', '0b9d1f3e58c24a579a0e6f0c2f0f6a11'],
  },
  who: {
    good: ['ana', 'org:acme', 'team:acme/devs', 'server:b', `key:${fingerprint}`],
    bad: [
      '',
      'Ana',
      ':ana',
      'org:',
      'org:a/b',
      'team:acme',
      'team:acme/',
      'team:a/b/c',
      'team:/a',
      'user:ana',
      'constructor:x',
      'valueof:x',
      'org:__proto__',
      'ana\n',
      'team:acme/A',
      'key:',
      'key:ana',
      fingerprint,
    ],
  },
};

t.test('each format takes its good words', async (t) => {
  for (const [format, { good }] of Object.entries(words))
    for (const word of good)
      t.doesNotThrow(
        () => checkFormat(format as Format, word),
        `${format} ${JSON.stringify(word).slice(0, 60)}`,
      );
});

t.test(
  'each format refuses its bad words as a fault of usage, and shows them escaped',
  async (t) => {
    for (const [format, { bad }] of Object.entries(words))
      for (const word of bad) {
        const label = `${format} ${JSON.stringify(word).slice(0, 60)}`;
        try {
          checkFormat(format as Format, word);
          t.fail(label);
        } catch (error) {
          const { code, message } = error as { code: string; message: string };
          t.equal(code, 'usage', label);
          // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
          t.notMatch(message, /[\x00-\x1f\x7f-\x9f\u202a-\u202e]/, label);
          t.ok(message.length < 300, label);
        }
      }
  },
);
