import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../src/config.ts';
import { openConfigHouse } from './support/config-house.ts';
import { doors } from './support/house.ts';
import { serve } from './support/serve.ts';

const { house, file, place } = await openConfigHouse(t);
const bo = await house.person('bo');

t.test('every fault is told at once: where, key, what was found, what is allowed', async (t) => {
  const faulty = place(
    'faulty.yaml',
    [
      'log_level: loud',
      'limits:',
      '  idel: 10m',
      '  idle: 10 minutes',
      '  pack_size: 2GB',
      '  channels: 0',
      '  refs_per_push: -1',
      'listen: localhost',
      'listen: 0.0.0.0:22',
      'org_create: everybody',
      'public_url: https://example.org',
      'data_dir: [a, {b: c}]',
      'workers: 100',
      'sync: {interval: soon, transport: pigeon}',
      'archive:',
      '  keep: [90d]',
      'default_namespace: Acme',
      'completely_unknown_words: 1',
    ].join('\n'),
  );

  const answer = await house.command(['--config', faulty, 'config', 'list'], {
    env: { CPM_SHUTDOWN__GRACE: '1 hour', CPM_LIMITS__AUTH_TRIES: '' },
  });

  t.equal(answer.status, 2);
  t.equal(answer.stdout, '');
  for (const line of [
    `${faulty}:1: log_level: found "loud", allowed is info or trace or debug or warn or error or silent`,
    `${faulty}:3: "limits.idel" is no setting; did you mean limits.idle?`,
    `${faulty}:4: limits.idle: found "10 minutes", allowed is 30s, 10m, 2h or 30d`,
    `${faulty}:5: limits.pack_size: found "2GB", allowed is a size: 4096, 64K, 20M or 2G`,
    `${faulty}:6: limits.channels: found "0", allowed is a whole number, 1 or more`,
    `${faulty}:7: limits.refs_per_push: found "-1", allowed is a whole number, 1 or more`,
    `${faulty}:9: listen is there twice`,
    `${faulty}:8: listen: found "localhost", allowed is HOST:PORT, or [IPV6]:PORT, several with commas`,
    `${faulty}:10: org_create: found "everybody", allowed is users or admins`,
    `${faulty}:11: public_url: found "https://example.org", allowed is ssh://USER@HOST[:PORT]`,
    `${faulty}:12: data_dir: found a list, allowed is a path`,
    `${faulty}:13: workers: found "100", allowed is auto, or 1 to 99`,
    `${faulty}:14: sync.interval: found "soon"`,
    `${faulty}:14: sync.transport: found "pigeon", allowed is auto or rsync or tar`,
    `${faulty}:16: archive.keep: found a list, allowed is forever, or 30d`,
    `${faulty}:17: default_namespace: found "Acme", allowed is a name of a user or org`,
    `${faulty}:18: "completely_unknown_words" is no setting\n`,
    'CPM_SHUTDOWN__GRACE: shutdown.grace: found "1 hour"',
    'cpm: the configuration has 18 faults:\n',
  ]) {
    t.match(answer.stderr, line);
  }
  t.notMatch(answer.stderr, 'auth_tries', 'an empty variable is none');
});

t.test('a file that is no YAML, or no list of settings, is told with its line', async (t) => {
  const cases = [
    ['limits:\n  idle: 5m\n bad: [1, 2\n', /:\d: /],
    ['- a\n- b\n', /:1: a list of KEY: VALUE lines is expected/],
    ['just words', /:1: a list of KEY: VALUE lines is expected/],
    ['log_level: info\nlog_level: warn\n', /:2: log_level is there twice/],
    ['limits: {idle: 5m}\nlimits.idle: 6m\n', /:2: limits\.idle is there twice/],
    ['limits: 5\n', /:1: "limits" is no setting/],
    ['log_level: {a: b}\n', /:1: "log_level\.a" is no setting/],
    ['log_level: &x info\nlisten: *x\n', /:2: listen: found no plain value/],
    ['log_level: "in\\x1bfo"\n', /found "in\\x1bfo"|found "\\"in/],
  ] as const;
  for (const [text, why] of cases) {
    const path = place('broken.yaml', text);
    const answer = await house.command(['--config', path, 'whoami']);
    t.equal(answer.status, 2, text);
    t.match(answer.stderr, why);
    t.notMatch(answer.stderr, '\x1b');
  }
  const absent = join(house.folder, 'absent.yaml');
  for (const env of [{}, { CPM_CONFIG: absent }]) {
    const words = 'CPM_CONFIG' in env ? [] : ['--config', absent];
    const answer = await house.command([...words, 'whoami'], { env });
    t.match(answer, { status: 2, stderr: `configuration file ${absent}: ENOENT` });
  }
});

t.test('a server does not start on a faulty configuration, and makes nothing', async (t) => {
  const dataDir = join(house.folder, 'never');
  const env = { HOME: house.folder, CPM_DATA_DIR: dataDir, CPM_LOG_LEVEL: 'loud' };

  const answer = await serve(t, { env }).ended;

  t.match(answer, { status: 2, stdout: '', stderr: /CPM_LOG_LEVEL: log_level: found "loud"/ });
  t.notOk(existsSync(dataDir));
  const flag = await serve(t, {
    env: { ...env, CPM_LOG_LEVEL: 'info' },
    args: ['--listen', 'nowhere'],
  }).ended;
  t.match(flag, { status: 2, stderr: /command line: listen: found "nowhere"/ });
});

t.test('flag before environment before file before default', async (t) => {
  const path = place('order.yaml', 'listen: 127.0.0.1:1\nlimits:\n  idle: 1m\n');
  const flags = { listen: '127.0.0.1:3' };
  const env = { HOME: house.folder, CPM_LISTEN: '127.0.0.1:2', CPM_LIMITS__IDLE: '2m' };
  const entry = async (sources: Parameters<typeof loadConfig>, key: string) =>
    (await loadConfig(...sources)).entries.find((each) => each.key === key);
  const home = { HOME: house.folder };

  const of = (origin: string, value: string) => ({ origin, value });
  t.match(await entry([{ flags, file: path }, env], 'listen'), of('flag', '127.0.0.1:3'));
  t.match(
    await entry([{ flags: {}, file: path }, env], 'listen'),
    of('environment', '127.0.0.1:2'),
  );
  t.match(await entry([{ flags: {}, file: path }, home], 'listen'), of('file', '127.0.0.1:1'));
  t.match(await entry([{ flags: {} }, home], 'listen'), of('default', '0.0.0.0:2222,[::]:2222'));
  t.match(await entry([{ flags: {}, file: path }, env], 'limits.idle'), of('environment', '2m'));
  t.match(await entry([{ flags: {}, file: path }, home], 'limits.idle'), of('file', '1m'));
  t.match(await entry([{ flags: {} }, home], 'limits.idle'), of('default', '10m'));
});

t.test('the file: --config, then CPM_CONFIG, then XDG_CONFIG_HOME, then the home', async (t) => {
  const places = {
    flag: place('flag.yaml', 'limits: {idle: 1m}\n'),
    named: place('named.yaml', 'limits: {idle: 2m}\n'),
    xdg: join(house.folder, 'xdg', 'cpm', 'config.yaml'),
    home: join(house.folder, '.config', 'cpm', 'config.yaml'),
  };
  for (const path of [places.xdg, places.home]) mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(places.xdg, 'limits: {idle: 3m}\n');
  writeFileSync(places.home, 'limits: {idle: 4m}\n');
  const env = {
    HOME: house.folder,
    XDG_CONFIG_HOME: join(house.folder, 'xdg'),
    CPM_CONFIG: places.named,
  };
  const { CPM_CONFIG: _, ...unnamed } = env;

  t.equal((await loadConfig({ flags: {}, file: places.flag }, env)).file, places.flag);
  t.equal((await loadConfig({ flags: {} }, env)).file, places.named);
  t.equal((await loadConfig({ flags: {} }, unnamed)).file, places.xdg);
  const config = await loadConfig({ flags: {} }, { HOME: house.folder });
  t.equal(config.file, places.home);
  t.equal(config.values['limits.idle'], 4 * 60_000);
});

t.test('the defaults are those of the contract', async (t) => {
  const { values, dataDir, databasePath, hostKeyPaths } = await loadConfig(
    { flags: {} },
    { HOME: '/home/ana', XDG_CONFIG_HOME: '/nowhere' },
  );

  t.equal(dataDir, '/home/ana/.local/share/cpm');
  t.equal(databasePath, '/home/ana/.local/share/cpm/cpm.db');
  t.same(hostKeyPaths, ['/home/ana/.local/share/cpm/keys/host_ed25519']);
  t.match(values, {
    listen: [
      { host: '0.0.0.0', port: 2222 },
      { host: '::', port: 2222 },
    ],
    workers: 'auto',
    log_level: 'info',
    org_create: 'users',
    'neighbors.listen': [],
    'sync.interval': 30_000,
    'sync.compress': 'true',
    'archive.keep': 90 * 24 * 3600 * 1000,
    'trash.keep': 90 * 24 * 3600 * 1000,
    'audit.keep': Number.POSITIVE_INFINITY,
    'shutdown.grace': 30_000,
    'limits.login_grace': 20_000,
    'limits.auth_tries': 6,
    'limits.channels': 10,
    'limits.unauthenticated': 64,
    'limits.connections': 1000,
    'limits.unauthenticated_per_address': 20,
    'limits.connections_per_user': 100,
    'limits.pushes_per_user': 4,
    'limits.idle': 600_000,
    'limits.pack_size': 2 * 1024 ** 3,
    'limits.refs_per_push': 10_000,
    'limits.disk_reserve': 2 * 1024 ** 3,
    'limits.namespace_bytes': Number.POSITIVE_INFINITY,
    'limits.repos_per_user': 1000,
  });
});

t.test('what is in force is shown with its origin, to site admins and nobody else', async (t) => {
  const rows: { key: string; value: string; origin: string }[] = JSON.parse(
    (await house.admin.ssh('config list --origin --json')).stdout,
  );
  const row = (wanted: string) => rows.find(({ key }) => key === wanted);

  t.match(row('log_level'), { value: 'warn', origin: 'file' });
  t.match(row('limits.idle'), { value: '5m', origin: 'file' });
  t.match(row('data_dir'), { value: house.dataDir, origin: 'environment' });
  t.match(row('listen'), { origin: 'flag' });
  t.match(row('limits.auth_tries'), { value: '6', origin: 'default' });
  // What no setting says is shown as it counts.
  for (const [key, value] of Object.entries({
    database_path: join(house.dataDir, 'cpm.db'),
    host_keys: join(house.dataDir, 'keys/host_ed25519'),
    ssh_key_path: join(house.dataDir, 'keys/server_ed25519'),
    default_namespace: 'ada',
  })) {
    t.match(row(key), { value, origin: 'default' }, key);
    t.match(await house.command(['config', 'get', key]), { stdout: `${value}\n` });
  }
  const { server } = JSON.parse((await house.admin.ssh('whoami --json')).stdout);
  t.match(row('public_url'), { value: server, origin: 'default' });
  t.match(await house.admin.ssh('config get limits.idle'), { status: 0, stdout: '5m\n' });
  t.match(await house.command('config get limits.idle'), { status: 0, stdout: '5m\n' });
  t.match(await house.admin.ssh('config get limits.idel'), {
    status: 2,
    stderr: /"limits\.idel" is no setting\nhint: did you mean limits\.idle\?/,
  });
  t.match(await bo.ssh('config list'), { status: 4 });
  t.match(await bo.ssh('config get log_level'), { status: 4 });
});

t.test('over SSH the configuration is read, not changed', async (t) => {
  const before = readFileSync(file, 'utf8');

  for (const words of ['config set log_level info', 'config unset log_level']) {
    t.match(await house.admin.ssh(words), { status: 4, stderr: /only the operator/ }, words);
  }

  t.equal(readFileSync(file, 'utf8'), before);
  t.match(await house.admin.ssh('config path'), { status: 0, stdout: `${file}\n` });
  t.match(await house.admin.ssh(`config validate ${file}`), {
    status: 2,
    stderr: /can only be "-"/,
  });
  for (const door of doors(house)) {
    const sent = await door.run(['config', 'validate', '-', '--json'], {
      stdin: 'log_level: info\n',
    });
    t.match(sent, { status: 0, stdout: '{"ok":true,"path":"-"}\n' }, door.name);
    const stdin = 'log_levle: info\nlimits:\n  idle: soon\n';
    const faulty = await door.run(['config', 'validate', '-'], { stdin });
    t.match(faulty, { status: 2, stdout: '' }, door.name);
    t.match(faulty.stderr, /standard input:1: "log_levle".*\n.*standard input:3: limits\.idle/);
  }
});

t.test('config validate reads the file as it is now, not as the server has it', async (t) => {
  const before = readFileSync(file, 'utf8');
  writeFileSync(file, `${before}\nworkers: many\n`);

  for (const { name, run } of doors(house)) {
    const answer = await run(['config', 'validate']);
    t.match(answer, { status: 2, stderr: /workers: found "many"/ }, name);
  }

  writeFileSync(file, before);
  t.match(await house.admin.ssh('config validate'), { status: 0, stdout: `${file} is valid.\n` });
});
