import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { doors, House } from '../support/house.ts';
import { generateKey } from '../support/person.ts';
import { run } from '../support/process.ts';
import { doorOf, json, words } from './scenario.ts';

const house = await House.open(t);
const entrances = doors(house);
const ana = await house.person('ana');
const server = `ssh://cpm@${hostname()}:${house.port}`;

t.test('whoami tells user, key with its title and end, and the server', async (t) => {
  t.strictSame(await json(doorOf(ana), 'whoami'), {
    user: 'ana',
    admin: false,
    key: ana.key.fingerprint,
    key_title: 'test',
    key_expires_at: null,
    server,
  });
  t.strictSame(await ana.ssh('whoami'), {
    status: 0,
    stdout: `ana\nkey: ${ana.key.fingerprint} (test), without an end\n`,
    stderr: '',
    bytes: Buffer.from(`ana\nkey: ${ana.key.fingerprint} (test), without an end\n`),
  });
  t.match(await json(doorOf(house.admin), 'whoami'), { user: 'ada', admin: true });
  t.match(await house.admin.ssh('whoami'), { stdout: /^ada, site admin\nkey: / });
});

t.test('on the machine itself one is the operator, and has no key', async (t) => {
  const operator = { run: house.operator.bind(house) };
  t.match(await json(operator, 'whoami'), { user: 'operator', admin: true, key: null, server });
});

t.test('cpm and git sign in, nobody else does, and is told who would', async (t) => {
  const as = (user: string) => {
    const args = ['-o', 'LogLevel=INFO', ...ana.sshOptions(), '-p', String(house.port)];
    return run('ssh', [...args, `${user}@127.0.0.1`, 'whoami'], { env: { HOME: ana.home } });
  };
  for (const user of ['cpm', 'git']) t.match(await as(user), { status: 0, stdout: /^ana\n/ }, user);
  for (const user of ['root', 'Git'])
    t.match(
      await as(user),
      { status: 255, stdout: '', stderr: /user name to sign in with is cpm or git/ },
      user,
    );
});

t.test(
  'ssh alone greets: who, with which key and its end, what is reached, three commands',
  async (t) => {
    for (const line of [
      'org create acme',
      'org create beta',
      'org member add acme ana --role admin',
      'org member add beta ana',
      'init acme/app',
      'init ana/notes',
      'init ada/secret',
    ])
      t.match(await house.operator(line), { status: 0 }, line);

    const { status, stdout, stderr } = await ana.ssh([]);

    t.equal(status, 0);
    t.equal(stderr, '');
    t.strictSame(stdout.split('\n'), [
      'Welcome to cpm, ana',
      `key: ${ana.key.fingerprint} (test), without an end`,
      'you reach: 2 repositories',
      'organizations: acme (admin), beta (member)',
      '',
      '  list            the repositories that you reach',
      '  init NAME       a new repository of your own',
      '  help            everything else',
      '',
    ]);
    for (const [, command = ''] of stdout.matchAll(/^ {2}(\w+)/gm)) {
      const line = command === 'init' ? 'init greeting-test' : command;
      t.match(await ana.ssh(line), { status: 0 }, `what the greeting names works: ${line}`);
    }
  },
);

t.test('the greeting as JSON has the same facts', async (t) => {
  t.match(JSON.parse((await ana.ssh(['--json'])).stdout), {
    user: 'ana',
    admin: false,
    key: ana.key.fingerprint,
    key_expires_at: null,
    server,
    orgs: [
      { org: 'acme', role: 'admin' },
      { org: 'beta', role: 'member' },
    ],
    repositories: 3,
    more: false,
  });
  t.match(await house.admin.ssh([]), {
    stdout:
      /^Welcome to cpm, ada, site admin\nkey: .*\nyou reach: 4 repositories\norganizations: none\n/,
  });
});

t.test('a key with an end says it, and one that has ended opens nothing', async (t) => {
  const key = await generateKey(join(ana.home, 'short'));
  const file = join(ana.home, 'short.pub');
  writeFileSync(file, `${key.line} of a short life\n`);
  t.match(
    await house.operator([
      'sshkey',
      'add',
      file,
      '--user',
      'ana',
      '--title',
      'short',
      '--expires',
      '2099-12-31',
    ]),
    { status: 0 },
  );
  const args = [...ana.sshOptions(), '-p', String(house.port)];
  args[args.indexOf(ana.key.privatePath)] = key.privatePath;
  const ask = (line: string) =>
    run('ssh', [...args, 'cpm@127.0.0.1', line], { env: { HOME: ana.home } });

  t.match(await ask('whoami'), {
    stdout: `ana\nkey: ${key.fingerprint} (short), until 2099-12-31T00:00:00.000Z\n`,
  });
  t.match(JSON.parse((await ask('whoami --json')).stdout), {
    key_expires_at: '2099-12-31T00:00:00.000Z',
  });
});

for (const door of entrances)
  t.test(`${door.name}: whoami takes no words`, async (t) => {
    t.match(await door.run(words('whoami ana')), {
      status: 2,
      stderr: /"ana" is one word too many/,
    });
    t.match(await door.run(words('whoami --user ana')), {
      status: 2,
      stderr: /whoami has no flag --user/,
    });
  });
