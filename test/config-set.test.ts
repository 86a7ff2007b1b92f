import { lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openConfigHouse } from './support/config-house.ts';

const { house, file, place } = await openConfigHouse(t);
const bo = await house.person('bo');

t.test('config set keeps comments and order, and says when it counts', async (t) => {
  t.match(await house.operator('config path'), { stdout: `${file}\n` });

  const set = await house.operator('config set limits.idle 7m');
  const added = await house.operator('config set limits.auth_tries 3 --json');
  const again = await house.operator('config set limits.auth_tries 3 --json');
  const other = await house.operator('config set shutdown.grace 2s');

  t.match(set, { status: 0, stdout: 'Set; it counts from now on.\n' });
  t.match(JSON.parse(added.stdout), { changed: true, restart: false });
  t.match(JSON.parse(again.stdout), { changed: false });
  t.equal(other.status, 0);
  t.equal(
    readFileSync(file, 'utf8'),
    '# ours\nlog_level: warn # not so much\n\nlimits:\n  # short\n  idle: 7m\n  channels: 7\n  auth_tries: 3\nshutdown:\n  grace: 2s\n',
  );
  t.equal(lstatSync(file).mode & 0o777, 0o600);
  await house.restart();
  t.match(await house.operator('config get limits.idle'), { stdout: '7m\n' });
});

t.test('a running server answers for the file that it reads alone', async (t) => {
  const other = join(house.folder, 'other.yaml');
  writeFileSync(other, 'log_level: warn\n');
  for (const words of [
    ['set', 'limits.idle', '3m'],
    ['unset', 'limits.idle'],
    ['path'],
    ['list'],
  ]) {
    t.match(await house.operator(['--config', other, 'config', ...words]), {
      status: 5,
      stdout: '',
      stderr: `the server that runs here reads ${file}, not ${other}`,
    });
  }
  t.equal(readFileSync(other, 'utf8'), 'log_level: warn\n');
  t.notMatch(readFileSync(file, 'utf8'), '3m');
});

t.test('a file is checked where no data directory is yet, and none is made', async (t) => {
  const nowhere = join(house.folder, 'nowhere');
  const validate = (text: string) =>
    house.operator(['--data-dir', nowhere, 'config', 'validate', '-'], { stdin: text });
  t.match(await validate('log_level: warn\n'), { status: 0, stdout: 'What was sent is valid.\n' });
  t.match(await validate('log_level: loud\n'), {
    status: 2,
    stderr: /standard input:1: log_level/,
  });
  const words = ['--data-dir', nowhere, 'config', 'validate', join(house.folder, 'none.yaml')];
  t.match(await house.operator(words), { status: 2, stderr: /can't be read/ });
  t.throws(() => lstatSync(nowhere));
});

t.test('config set refuses what would not validate, and dry runs change nothing', async (t) => {
  const before = readFileSync(file, 'utf8');

  t.match(await house.operator(['config', 'set', 'limits.idle', 'soon']), {
    status: 2,
    stderr: /limits\.idle: found "soon", allowed is 30s, 10m, 2h or 30d/,
  });
  t.match(await house.operator('config set limits.idel 5m'), {
    status: 2,
    stderr: /did you mean limits\.idle/,
  });
  t.match(await house.operator('config set limits.idle 9m --dry-run'), { status: 0 });

  t.equal(readFileSync(file, 'utf8'), before);
});

t.test('config unset takes a setting out, and a heading that is empty then', async (t) => {
  t.match(await house.operator('config unset shutdown.grace'), { status: 0 });
  t.match(await house.operator('config unset shutdown.grace'), {
    status: 0,
    stdout: 'Not there.\n',
  });

  const text = readFileSync(file, 'utf8');
  t.notMatch(text, 'shutdown');
  t.match(text, '# ours\nlog_level: warn # not so much\n');
});

t.test('a key in one word is set where it stands', async (t) => {
  const path = place('flat.yaml', 'limits.idle: 1m # one word\nlog_level: warn\n');
  await house.stop();

  const set = await house.command(['--config', path, 'config', 'set', 'limits.idle', '2m']);
  const more = await house.command(['--config', path, 'config', 'set', 'limits.channels', '3']);

  t.match([set, more], [{ status: 0 }, { status: 0 }]);
  t.equal(
    readFileSync(path, 'utf8'),
    'limits.idle: 2m # one word\nlog_level: warn\nlimits:\n  channels: 3\n',
  );
  const got = await house.command(['--config', path, 'config', 'get', 'limits.idle']);
  t.match(got, { status: 0, stdout: '2m\n' });
  const gone = await house.command(['--config', path, 'config', 'unset', 'limits.idle']);
  t.match(gone, { status: 0 });
  t.equal(readFileSync(path, 'utf8'), 'log_level: warn\nlimits:\n  channels: 3\n');
  await house.restart();
});

t.test('config set makes the file where there is none, its owner’s alone', async (t) => {
  const path = join(house.folder, 'new', 'cpm', 'config.yaml');
  await house.stop();
  const env = { CPM_CONFIG: '', XDG_CONFIG_HOME: join(house.folder, 'new') };

  const set = await house.command('config set limits.idle 3m', { env });

  t.match(set, { status: 0 });
  t.equal(readFileSync(path, 'utf8'), 'limits:\n  idle: 3m\n');
  t.equal(lstatSync(path).mode & 0o777, 0o600);
  t.match(await house.command('config get limits.idle', { env }), { stdout: '3m\n' });
  await house.restart();
});

t.test('config validate checks a file as a whole, and says so', async (t) => {
  const good = place('good.yaml', 'limits: {idle: 5m}\n');
  const bad = place('bad.yaml', 'limits: {idle: 5x}\nlog_level: loud\n');

  t.match(await house.operator(['config', 'validate', good]), { stdout: `${good} is valid.\n` });
  const answer = await house.operator(['config', 'validate', bad, '--json']);

  t.equal(answer.status, 2);
  const { error } = JSON.parse(answer.stderr);
  t.equal(error.code, 'usage');
  t.match(error.message, `${bad}:1: limits.idle: found "5x"`);
  t.match(error.message, `${bad}:2: log_level: found "loud"`);
});

t.test('public_url, default_namespace and org_create do what they say', async (t) => {
  const { port } = house;
  t.match(await house.operator('init plain'), {
    stdout: `ssh://cpm@${hostname()}:${port}/ada/plain`,
  });
  for (const [key, value] of [
    ['public_url', 'ssh://git@git.example.org'],
    ['default_namespace', 'acme'],
    ['org_create', 'admins'],
  ] as const) {
    await house.operator(['config', 'set', key, value]);
  }
  await house.operator('org create acme');
  await house.restart();

  const made = await house.operator('init one --json');

  t.match(JSON.parse(made.stdout), {
    name: 'acme/one',
    clone_url: 'ssh://git@git.example.org/acme/one.git',
  });
  t.match(await bo.ssh('org create mine'), { status: 4 });
  t.match(await house.admin.ssh('org create theirs'), { status: 0 });
  t.match(await house.admin.ssh('show plain'), { status: 0 }, 'a user’s bare name is their own');
  t.match(await house.admin.ssh('show one'), { status: 0 }, 'or the default namespace’s');
});
