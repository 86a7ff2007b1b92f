import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { House } from './support/house.ts';

const house = await House.open(t, {
  config: 'log_level: info\n',
  env: { CPM_LIMITS__IDLE: '4m' },
});
const file = join(house.folder, 'config.yaml');
const bo = await house.person('bo');
const set = async (key: string, value: string) => {
  const answer = await house.operator(['config', 'set', key, value, '--json']);
  if (answer.status !== 0) throw new Error(answer.stderr);
  return { ...JSON.parse(answer.stdout), note: answer.stderr };
};
const unset = async (key: string) => house.operator(['config', 'unset', key, '--json']);

t.test('config set through the local door changes the server that runs, at once', async (t) => {
  t.match(await bo.ssh('org create guild --dry-run'), { status: 0 });
  t.match(await set('org_create', 'admins'), { changed: true, restart: false, note: '' });
  t.match(await bo.ssh('org create guild --dry-run'), { status: 4 });

  await set('public_url', 'ssh://git@code.example.org');
  const { stdout } = await bo.ssh('init app --json');
  t.match(JSON.parse(stdout), { clone_url: 'ssh://git@code.example.org/bo/app.git' });

  t.match(await house.operator('show app'), { status: 3 });
  await set('default_namespace', 'bo');
  t.match(await house.operator('show app'), { status: 0 });

  await set('limits.repos_per_user', '1');
  t.match(await bo.ssh('init more'), { status: 6 });
  await set('limits.refs_per_push', '1');
  const work = await bo.worktree();
  const both = ['push', bo.url('app'), 'main', 'main:more'];
  t.match(await bo.git(both, { cwd: work }), { status: /[^0]/, stderr: /refs/ });
  await set('limits.disk_reserve', '9000G');
  t.match(await bo.git(['push', bo.url('app'), 'main'], { cwd: work }), { stderr: /reserve/ });

  for (const key of ['org_create', 'limits.repos_per_user', 'limits.refs_per_push']) {
    t.match(JSON.parse((await unset(key)).stdout), { changed: true, restart: false });
  }
  await unset('limits.disk_reserve');
  t.match(await bo.ssh('org create guild --dry-run'), { status: 0 });
  t.match(await bo.ssh('init more --dry-run'), { status: 0 });
  t.match(await bo.git(both, { cwd: work }), { status: 0 });
});

t.test('the log’s level changes while it is written', async (t) => {
  const lines = () => house.stderr.split('\n').filter((line) => line.includes('"msg":"request"'));
  await house.operator('whoami');
  t.ok(lines().length > 0);
  await set('log_level', 'warn');
  const before = lines().length;
  await house.operator('whoami');
  t.equal(lines().length, before);
  await set('log_level', 'info');
});

t.test('what only a start can change stays as it is, and config set says so', async (t) => {
  t.match(await set('workers', '2'), { changed: true, restart: true });

  t.match(await house.operator('config get workers'), { stdout: 'auto\n' });
  t.match(await house.operator('config set workers 1'), { stdout: /from the next start/ });
  t.match(await house.operator('whoami'), { status: 0 });
});

t.test('config set says when something else counts instead of the file', async (t) => {
  const { note } = await set('limits.idle', '3m');

  t.match(note, 'limits.idle is given by CPM_LIMITS__IDLE besides');
  t.match(await house.operator('config get limits.idle'), { stdout: '4m\n' });
});

t.test('a SIGHUP takes over what was written by hand, and nothing of a faulty file', async (t) => {
  const good = readFileSync(file, 'utf8');
  writeFileSync(file, `${good}org_create: admins\n`);
  process.kill(house.pid, 'SIGHUP');
  await house.says(/"applied":\["org_create"\],"waiting":\["workers"\]/);
  t.match(await bo.ssh('org create guild --dry-run'), { status: 4 });

  writeFileSync(file, `${good}org_create: nobody\n`);
  process.kill(house.pid, 'SIGHUP');
  await house.says(/configuration not reloaded/);
  t.match(await bo.ssh('org create guild --dry-run'), { status: 4 });
  t.match(await house.command('whoami', { env: { CPM_CONFIG: '' } }), { status: 0 });

  writeFileSync(file, good);
});

t.test('config set refuses where the file as a whole would not be valid', async (t) => {
  const good = readFileSync(file, 'utf8');
  writeFileSync(file, `${good}nonsense: 1\n`);

  const answer = await house.command('config set limits.channels 5', { env: { CPM_CONFIG: '' } });

  t.match(answer, { status: 2, stderr: /config\.yaml:\d+: "nonsense" is no setting/ });
  t.equal(readFileSync(file, 'utf8'), `${good}nonsense: 1\n`);
  writeFileSync(file, good);
});
