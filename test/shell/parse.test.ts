import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import type { UserError } from '../../src/model/errors.ts';
import { parse } from '../../src/shell/parse.ts';

const later = ['moon', 'sshkey shine'];
const tree = { commands, later, laterFlags: { list: ['moon'] } };
const locally = (...words: string[]) => parse(words, tree, false);
const remotely = (...words: string[]) => parse(words, tree, true);
const fingerprint = `SHA256:${'A'.repeat(43)}`;

/** What a parser says to words that it does not take. */
function refusal(words: readonly string[], remote = false): UserError {
  try {
    parse(words, tree, remote);
  } catch (error) {
    return error as UserError;
  }
  throw new Error(`taken: ${words.join(' ')}`);
}

t.test('words become a command, its arguments and the flags of all commands', async (t) => {
  const parsed = locally(
    'init',
    'acme/app',
    '--description',
    'An app',
    '--visibility',
    'internal',
    '--json',
  );

  t.equal(parsed.command?.words, 'init');
  t.strictSame(parsed.args, { repo: 'acme/app', description: 'An app', visibility: 'internal' });
  t.match(parsed.globals, { json: true, quiet: false, yes: false, dryRun: false });
});

t.test('flags stand anywhere: before, between and behind the words', async (t) => {
  const lines = [
    ['--json', 'org', 'member', 'add', 'acme', 'ana', '--role', 'admin'],
    ['org', '--json', 'member', '--role=admin', 'add', 'acme', 'ana'],
    ['org', 'member', 'add', '--role', 'admin', 'acme', '--json', 'ana'],
    ['orgs', '--role', 'admin', 'members', '--json', 'add', 'acme', 'ana'],
  ];
  for (const words of lines) {
    const { command, args, globals } = locally(...words);
    t.equal(command?.words, 'org member add', words.join(' '));
    t.strictSame(args, { org: 'acme', user: 'ana', role: 'admin' });
    t.ok(globals.json);
  }
});

t.test('a value is the next word or stands behind an equals sign', async (t) => {
  t.strictSame(locally('repo', 'set', 'app', '--description', 'a=b').args, {
    repo: 'app',
    description: 'a=b',
  });
  t.strictSame(locally('repo', 'set', 'app', '--description=a=b').args, {
    repo: 'app',
    description: 'a=b',
  });
  t.strictSame(locally('repo', 'set', 'app', '--description=').args, {
    repo: 'app',
    description: '',
  });
  t.strictSame(locally('repo', 'set', 'app', '--description', '').args, {
    repo: 'app',
    description: '',
  });
  t.strictSame(locally('repo', 'set', 'app', '--description=-x').args, {
    repo: 'app',
    description: '-x',
  });
  t.strictSame(locally('user', 'add', 'ana', '--key', '-').args, { name: 'ana', key: '-' });
  t.strictSame(locally('user', 'add', 'ana', '--key=-').args, { name: 'ana', key: '-' });
});

t.test('two dashes end the flags', async (t) => {
  t.strictSame(locally('desc', 'app', '--', '--json', 'is', '-x').args, {
    repo: 'app',
    description: '--json is -x',
  });
  t.notOk(locally('desc', 'app', '--', '--json').globals.json);
  t.strictSame(locally('init', '--', 'app').args, { repo: 'app' });
  t.match(refusal(['init', '--', '--dry-run']), {
    code: 'usage',
    message: /not a repository name/,
  });
  t.match(refusal(['init', 'app', '--', '--yes']), { code: 'usage', message: /one word too many/ });
});

t.test('every flag with one value is refused when it is given twice', async (t) => {
  for (const { words, args, positions, required } of commands)
    for (const [name, schema] of Object.entries(args)) {
      if (positions.includes(name) || schema.type === 'boolean' || schema.type === 'array')
        continue;
      const value =
        'enum' in schema
          ? (schema.enum[0] ?? '')
          : schema.type === 'integer'
            ? '5'
            : samples[schema.format];
      const needed = required.filter((each) => each !== name && !positions.includes(each));
      const filled = [
        // One that may be left out may not go with every flag.
        ...positions
          .filter((each) => required.includes(each))
          .map((position) => sampleOf(words, position)),
        ...needed.flatMap((each) => [`--${each}`, sampleOf(words, each)]),
        // It needs one of two flags; the other one has no value.
        ...(words === 'sshkey rotate' && name !== 'key' ? ['--key', '-'] : []),
      ];
      const flag = [`--${name}`, String(value)];
      t.doesNotThrow(() => locally(...words.split(' '), ...filled, ...flag), `${words} --${name}`);
      const twice = refusal([...words.split(' '), ...filled, ...flag, ...flag]);
      t.match(twice, { code: 'usage', message: `--${name} is given twice` }, `${words} --${name}`);
    }
  for (const name of ['config', 'data-dir'])
    t.match(refusal(['list', `--${name}=a`, `--${name}=b`]), {
      message: `--${name} is given twice`,
    });
});

const samples: Record<string, string> = {
  address: '192.0.2.7',
  alias: 'Old/App',
  branch: 'main',
  description: 'd',
  duration: '5m',
  file: '-',
  fingerprint,
  rate: '20M',
  words: 'zone able acid aged also area',
  invitation: `cpm-invitation,dev,cpm@b:22,SHA256:${'a'.repeat(43)},${'b'.repeat(22)}`,
  server: 'b',
  'server-url': 'cpm@b:2222',
  head: `1:${'0'.repeat(64)}`,
  listen: '127.0.0.1:0',
  moment: '3d',
  name: 'ana',
  namespace: 'ana',
  oid: '1a2b3c4',
  'new-repo': 'app',
  path: '-',
  pattern: '*',
  'ref-pattern': 'main',
  ref: 'main',
  repo: 'app',
  setting: 'limits.idle',
  size: '20M',
  source: 'main',
  text: 'word',
  url: 'u',
  uuid: '0b9d1f3e-58c2-4a57-9a0e-6f0c2f0f6a11',
  value: '@1',
  who: 'ana',
};

function sampleOf(words: string, position: string): string {
  const schema = commands.find((each) => each.words === words)?.args[position];
  if (schema === undefined) throw new Error(`${words} has no ${position}`);
  if ('enum' in schema) return schema.enum[0] ?? '';
  if (schema.type === 'array') return samples[schema.items.format] ?? '';
  return schema.type === 'string' ? (samples[schema.format] ?? '') : '5';
}

t.test('a flag without a value may be given twice, and never takes one', async (t) => {
  t.ok(locally('init', 'app', '--dry-run', '--dry-run').globals.dryRun);
  t.ok(locally('list', '--json', '--json').globals.json);
  const booleans = [
    'dry-run',
    'yes',
    'json',
    'quiet',
    'verbose',
    'help',
    'version',
    'admin',
    'exist-ok',
    'all',
    'long',
    'origin',
  ];
  for (const name of booleans)
    for (const value of ['', 'true', 'false', 'no', '1'])
      t.match(
        refusal(['init', 'app', `--${name}=${value}`]),
        { code: 'usage', message: `--${name} takes no value` },
        `--${name}=${value}`,
      );
  for (const word of ['true', 'false']) {
    t.match(locally('list', '--json', word), { args: { pattern: word }, globals: { json: true } });
    t.match(refusal(['whoami', '--json', word]), { message: /is one word too many/ });
  }
  t.match(refusal(['list', '--no-json']), { message: '"--no-json" is no flag of cpm' });
});

t.test('several values are several flags, or several words', async (t) => {
  t.strictSame(locally('serve', '--listen', 'a:1', '--listen=b:2').args, {
    listen: ['a:1', 'b:2'],
  });
  t.strictSame(locally('serve', '--listen', 'a:1').args, { listen: ['a:1'] });
  t.strictSame(locally('serve').args, {});
  t.strictSame(locally('help', 'org', 'member', 'add').args, { command: ['org', 'member', 'add'] });
  t.match(refusal(['serve', '--listen', 'a:1', 'b:2']), { message: /"b:2" is one word too many/ });
});

t.test('a flag that lacks its value is named', async (t) => {
  for (const words of [['--description'], ['--description', '--json'], ['--json', '--description']])
    t.match(refusal(['init', 'app', ...words]), {
      code: 'usage',
      message: '--description lacks its value',
      hint: /--flag=VALUE/,
    });
});

t.test('a value that begins with a dash is taken behind an equals sign alone', async (t) => {
  for (const value of ['-x', '--x', '-5', '-oProxyCommand=touch'])
    t.match(refusal(['init', 'app', '--description', value]), {
      code: 'usage',
      message: /is no flag of cpm/,
      hint: /--flag=VALUE/,
    });
  t.match(refusal(['init', '-oProxyCommand=touch']), {
    message: '"-oProxyCommand=touch" is no flag of cpm',
  });
  t.match(refusal(['init', '--upload-pack=x']), { message: '"--upload-pack=x" is no flag of cpm' });
});

t.test('whole numbers have bounds', async (t) => {
  const limit = (value: string) => locally('audit', 'list', '--limit', value).args['limit'];
  t.equal(limit('1'), 1);
  t.equal(limit('007'), 7);
  t.equal(limit('999999999'), 999_999_999);
  for (const value of [
    '0',
    '1000000000',
    '1.5',
    '1e3',
    '0x10',
    'ten',
    ' 1',
    '٥',
    'NaN',
    'Infinity',
  ])
    t.match(refusal(['audit', 'list', `--limit=${value}`]), {
      code: 'usage',
      message: `"${value}" is not a whole number of 1 or more`,
    });
});

t.test('one of several words is one of them', async (t) => {
  t.match(refusal(['init', 'app', '--visibility', 'secret']), {
    code: 'usage',
    message: '"secret" is not a visibility',
    hint: 'it is one of: private, internal, public',
  });
  for (const word of ['Private', 'constructor', '', 'private\n'])
    t.match(
      refusal(['init', 'app', `--visibility=${word}`]),
      { code: 'usage' },
      JSON.stringify(word),
    );
  t.match(refusal(['repo', 'access', 'grant', 'app', 'ana', 'owner']), {
    message: '"owner" is not a right',
  });
});

t.test('names of what every object has are no flags and no commands', async (t) => {
  for (const word of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
    for (const flag of [`--${word}`, `--${word}=1`, `--${word}.x=1`])
      t.match(
        refusal(['list', flag]),
        { code: 'usage', message: `"${flag}" is no flag of cpm` },
        flag,
      );
    t.match(refusal([word]), { message: `"${word}": no such command` });
    t.match(refusal(['user', word]), { message: `user "${word}": no such command` });
    t.match(refusal(['config', 'get', 'a', word]), {
      message: `config get: "${word}" is one word too many`,
    });
  }
  t.equal(Reflect.get({}, 'x'), undefined, 'nothing was put on every object');
});

t.test('a flag of another command is refused, with where to look', async (t) => {
  t.match(refusal(['list', '--role', 'admin']), {
    message: 'list has no flag --role',
    hint: 'see its flags with: help list',
  });
  t.match(refusal(['init', '--repo', 'app']), { code: 'usage' }, 'a word is no flag');
  t.match(refusal(['list', '--dry-run']), { code: 'usage', message: /changes nothing/ });
});

t.test('what is missing and what is too much is named, with the form of the command', async (t) => {
  t.match(refusal(['init']), {
    message: 'init: REPO is missing',
    hint: /^its form is: init REPO /,
  });
  t.match(refusal(['init', '']), { message: 'init: REPO is missing' });
  t.match(refusal(['repo', 'access', 'grant', 'app', 'ana']), { message: /RIGHT is missing/ });
  t.match(refusal(['init', 'a', 'b']), { message: 'init: "b" is one word too many' });
});

t.test('unknown words get a hint', async (t) => {
  t.match(refusal(['nosuch']), {
    message: '"nosuch": no such command',
    hint: 'see all with: help',
  });
  t.match(refusal(['user']), { message: 'user: what about it?', hint: /user add, user list/ });
  t.match(refusal(['user', 'frob']), { message: 'user "frob": no such command', hint: /user add/ });
  t.match(refusal(['scp', '-t', 'x']), { message: '"scp": no such command' });
  t.match(refusal(['']), { message: '"": no such command' });
  t.match(refusal(['Init', 'x']), { message: '"Init": no such command' });
});

t.test('what is yet to come says so, as words, as habits and as flags', async (t) => {
  for (const words of later)
    t.match(refusal(words.split(' ')), { code: 'usage', message: `${words}: not in this version` });
  for (const words of ['sshkeys shine b', 'list --moon'])
    t.match(refusal(words.split(' ')), { message: /: not in this version$/ }, words);
  t.match(refusal(['user', 'list', '--since', '3d']), { message: 'user list has no flag --since' });
});

t.test('help and version are answered wherever they stand, whatever else is missing', async (t) => {
  for (const words of [
    ['--help', 'init'],
    ['init', '--help'],
    ['init', '-h'],
    ['init', 'a', 'b', '--help'],
  ])
    t.match(locally(...words), {
      globals: { help: true },
      command: { words: 'init' },
      topic: ['init'],
    });
  t.match(locally('users', '--help'), {
    globals: { help: true },
    command: undefined,
    topic: ['user'],
  });
  t.match(locally('ls', '--help'), { command: { words: 'list' }, topic: ['list'] });
  const soon = later.find((words) => !words.includes(' '));
  if (soon !== undefined) {
    t.match(locally(soon, '--help'), { command: undefined, topic: [soon] });
  }
  t.match(locally('--help'), { globals: { help: true }, topic: [] });
  t.match(locally('init', '--version'), { globals: { version: true } });
  t.match(locally('--version'), { globals: { version: true } });
});

t.test('a habit gives its flags, and they are not given twice', async (t) => {
  t.strictSame(locally('repo', 'private', 'app', '--json').args, {
    repo: 'app',
    visibility: 'private',
  });
  t.ok(locally('desc', 'app', 'a', '--json', 'b').globals.json);
  t.strictSame(locally('desc', 'app', 'a', '--json', 'b').args, {
    repo: 'app',
    description: 'a b',
  });
  t.match(refusal(['repo', 'private', 'app', '--visibility', 'public']), {
    message: '--visibility is given twice',
  });
});

t.test('S8 over SSH no word names a file: FILE and PATH are "-" alone', async (t) => {
  t.strictSame(remotely('sshkey', 'add', '-').args, { file: '-' });
  for (const file of [
    'key.pub',
    '/dev/stdin',
    '/proc/self/environ',
    './-',
    '',
    ' -',
    '--',
    '~/.ssh/id.pub',
  ])
    t.match(
      refusal(['user', 'add', 'ana', `--key=${file}`], true),
      { code: 'usage', message: /can only be "-"/ },
      file,
    );
  t.match(refusal(['sshkey', 'add', '/etc/passwd'], true), {
    code: 'usage',
    message: /can only be "-"/,
  });
  t.match(refusal(['config', 'validate', './config.yaml'], true), { message: /can only be "-"/ });
});

t.test('S8 over SSH flags of the machine do not exist, wherever they stand', async (t) => {
  for (const name of ['config', 'data-dir', 'out', 'identity'])
    for (const words of [
      [`--${name}`, 'x', 'list'],
      ['list', `--${name}=/etc/passwd`],
      ['user', `--${name}=x`, 'list'],
      ['nosuch', `--${name}`],
      ['--help', `--${name}=x`],
      ['desc', 'app', '--', `--${name}=x`],
    ])
      t.match(
        refusal(words, true),
        {
          code: 'usage',
          message: `--${name} names a file on the server and does not exist over SSH`,
        },
        words.join(' '),
      );
  t.equal(locally('list', '--data-dir', 'x', '--config=y').globals.dataDir, 'x');
});

t.test('what was typed is shown escaped, and never at length', async (t) => {
  const hostile = ['\x1b[31mred', 'a\nb', 'a\u202eb', '\x9b', '漢字', 'x'.repeat(100_000)];
  for (const word of hostile)
    for (const words of [
      [word],
      ['user', word],
      ['init', word],
      [`--${word}`],
      ['list', 'a', word],
      ['audit', 'list', '--limit', word],
    ]) {
      const { code, message, hint = '' } = refusal(words);
      t.equal(code, 'usage');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      t.notMatch(message + hint, /[\x00-\x1f\x7f-\x9f\u202a-\u202e]/);
      t.ok(message.length < 300, `${message.length} characters`);
    }
});
