import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { cpm, machine, started, stopped } from './support/machine.ts';
import { Person } from './support/person.ts';
import { must } from './support/process.ts';
import { serve } from './support/serve.ts';

const ada = await Person.create('ada', mkdtempSync(join(tmpdir(), 'cpm-')), { port: () => 0 });
t.teardown(() => rmSync(ada.home, { recursive: true, force: true }));

t.test('an empty place becomes a data directory, and its first admin is told all', async (t) => {
  const { dataDir, env } = machine(t);
  const serving = serve(t, { env: { ...env, CPM_ADMIN_KEY: ada.key.publicPath } });

  const { port, stdout } = await started(serving);
  await serving.says(/git clone cpm:project/);
  const text = serving.stdout();

  t.equal(stdout.split('\n')[0], `listening on ssh://127.0.0.1:${port}`, 'the first line');
  const hostKey = await must('ssh-keygen', ['-lf', join(dataDir, 'keys', 'host_ed25519.pub')]);
  t.match(text, `host key: ${hostKey.stdout.split(' ')[1]}\n`);
  t.match(text, `first site admin: ada, key ${ada.key.fingerprint} (${ada.key.publicPath})\n`);
  t.match(text, `IdentityFile ${ada.key.privatePath}\n`);
  t.match(text, `Port ${port}\n`);
  for (const line of ['ssh cpm init project', 'git push cpm:project', 'git clone cpm:project']) {
    t.match(text, line);
  }
  const there = readdirSync(dataDir).filter((name) => !name.startsWith('cpm.db-'));
  const made = ['cpm.db', 'hooks.d', 'incoming', 'keys', 'repositories', 'run', 'trash'];
  t.same(there.sort(), made);
  for (const key of ['host_ed25519', 'server_ed25519', 'sign_ed25519']) {
    t.equal(lstatSync(join(dataDir, 'keys', key)).mode & 0o777, 0o600, key);
    t.equal(lstatSync(join(dataDir, 'keys', `${key}.pub`)).mode & 0o777, 0o644, `${key}.pub`);
  }
  const user = JSON.parse((await cpm(['user', 'list', '--json'], env)).stdout);
  t.match(user, [{ name: 'ada', admin: true, state: 'active', keys: 1 }]);
  t.equal(user.length, 1);
  t.match(await stopped(serving), { status: 0 });
});

t.test('the second start is an ordinary one: same keys, no word of an admin', async (t) => {
  const { dataDir, env } = machine(t);
  const first = serve(t, { env });
  await started(first);
  await stopped(first);
  const keys = readdirSync(join(dataDir, 'keys'));
  const hostKey = readFileSync(join(dataDir, 'keys', 'host_ed25519'));

  const second = serve(t, { env });
  const { stdout } = await started(second);
  await stopped(second);

  t.match(stdout, /^listening on ssh:\/\/127\.0\.0\.1:\d+\n$/);
  t.same(readdirSync(join(dataDir, 'keys')), keys);
  t.ok(readFileSync(join(dataDir, 'keys', 'host_ed25519')).equals(hostKey));
});

t.test('S7 CPM_ADMIN and CPM_ADMIN_KEY mean nothing once a user has existed', async (t) => {
  const { env } = machine(t);
  const first = serve(t, { env });
  await started(first);
  await stopped(first);
  await cpm(['user', 'delete', 'ada', '--yes'], env);

  const again = { ...env, CPM_ADMIN: 'eve', CPM_ADMIN_KEY: ada.key.publicPath };
  const second = serve(t, { env: again });
  await started(second);
  await stopped(second);

  t.notMatch((await cpm(['user', 'list', '--json'], env)).stdout, 'eve');
});

t.test('other files in the place don’t matter, and it is closed to others', async (t) => {
  const { dataDir, env } = machine(t);
  mkdirSync(dataDir);
  chmodSync(dataDir, 0o755);
  writeFileSync(join(dataDir, 'README'), 'mine');

  const serving = serve(t, { env });
  await started(serving);
  await stopped(serving);

  t.equal(readFileSync(join(dataDir, 'README'), 'utf8'), 'mine');
  t.equal(lstatSync(dataDir).mode & 0o777, 0o700);
});

t.test('the data directory is where XDG_DATA_HOME says, else under the home', async (t) => {
  for (const xdg of [true, false]) {
    const { folder, home, env } = machine(t);
    const { CPM_DATA_DIR: _, ...free } = env;
    const shared = join(folder, 'shared');
    const serving = serve(t, { env: { ...free, ...(xdg && { XDG_DATA_HOME: shared }) } });
    await started(serving);
    await stopped(serving);

    t.ok(existsSync(join(xdg ? shared : join(home, '.local/share'), 'cpm', 'cpm.db')));
  }
});

t.test('commands make no data directory: they say where none is, status 3', async (t) => {
  const { folder, dataDir, env } = machine(t);

  for (const words of [['list'], ['user', 'add', 'bo'], ['audit', 'verify'], ['config', 'list']]) {
    const answer = await cpm(words, env);
    t.match(answer, { status: 3, stdout: '' });
    t.match(answer.stderr, `cpm: no data directory at ${dataDir}\nhint: name it with --data-dir`);
  }
  mkdirSync(dataDir);
  t.match(await cpm(['list'], env), { status: 3 }, 'an empty folder is none');
  t.same(readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort(), ['data', 'home']);
  t.match(await cpm(['help'], env), { status: 0 }, 'help needs none');
});

t.test('a first start that is killed at any point leaves the way free for the next', async (t) => {
  // Each file that must survive is renamed into place: the kill hits at the first, the second, … of these.
  let isCutOff = false;
  for (const nth of [1, 2, 4, 7, 9, 10]) {
    const { folder, dataDir, env } = machine(t);
    const inject = `inject=rename:signal=SIGKILL:when=${nth}`;
    const calls = ['-f', '-qq', '-o', join(folder, 'trace'), '-e', 'trace=rename', '-e', inject];
    const killed = serve(t, {
      // With one thread for files, strace counts the calls in their order.
      env: { ...env, UV_THREADPOOL_SIZE: '1' },
      wrapper: ['strace', ...calls],
    });
    const { status, stdout } = await killed.ended;
    t.match({ status, stdout }, { status: 137, stdout: '' }, `killed at rename ${nth}`);
    const found = await cpm(['list'], env);
    t.ok(found.status === 3 || found.status === 0, 'a command finds all of it or nothing');
    isCutOff ||= found.status === 3;

    const next = serve(t, { env });
    await started(next);
    if (found.status === 3) await next.says(/first site admin: ada/);
    const users = JSON.parse((await cpm(['user', 'list', '--json'], env)).stdout);
    await stopped(next);

    t.same(
      users.map(({ name }: { name: string }) => name),
      ['ada'],
    );
    t.same(
      readdirSync(join(dataDir, 'keys')).filter((name) => name.includes('.new-')),
      [],
      'no half-written key is left',
    );
  }
  t.ok(isCutOff, 'it was cut off in the middle');
});
