import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { networkInterfaces, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { generateKey, type KeyPair, Person } from './support/person.ts';
import { type Answer, must, run } from './support/process.ts';
import { findProgram } from './support/program.ts';
import { type Serving, serve } from './support/serve.ts';

/** A machine on which cpm never ran: a home, and a place for the data directory. */
interface Machine {
  readonly folder: string;
  readonly home: string;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
}

function machine(t: Test): Machine {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  mkdirSync(home);
  const dataDir = join(folder, 'data');
  return { folder, home, dataDir, env: { HOME: home, CPM_DATA_DIR: dataDir, CPM_ADMIN: 'ada' } };
}

function cpm(words: readonly string[], env: Readonly<Record<string, string>>): Promise<Answer> {
  const [program, ...args] = findProgram().command;
  return run(program, [...args, ...words], { env });
}

async function started(serving: Serving): Promise<{ port: number; stdout: string }> {
  const [, port] = await serving.says(/^listening on ssh:\/\/127\.0\.0\.1:(\d+)$/m);
  return { port: Number(port), stdout: serving.stdout() };
}

async function stopped(serving: Serving, signal: NodeJS.Signals = 'SIGTERM'): Promise<Answer> {
  serving.kill(signal);
  return serving.ended;
}

/** Everything below a folder but what comes and goes with a process. */
function tree(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
}

const ada = await Person.create('ada', mkdtempSync(join(tmpdir(), 'cpm-')), () => 0);
t.teardown(() => rmSync(ada.home, { recursive: true, force: true }));

/** The ssh client's options to sign in with another key than ada's own. */
function sshWith(identity: string): string[] {
  return ada.sshOptions().map((word) => (word === ada.key.privatePath ? identity : word));
}

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

t.test('the first admin’s key: the files of ~/.ssh in their order, else a new one', async (t) => {
  const types = ['ed25519', 'ecdsa', 'rsa'] as const;
  const keys = new Map<string, KeyPair>();
  for (const type of types) keys.set(type, await generateKey(join(ada.home, `id_${type}`), type));

  const cases = [
    { there: ['rsa', 'ecdsa', 'ed25519'], taken: 'ed25519' },
    { there: ['rsa', 'ecdsa'], taken: 'ecdsa' },
    { there: ['rsa'], taken: 'rsa' },
    { there: [], taken: undefined },
  ];
  for (const { there, taken } of cases) {
    const { home, dataDir, env } = machine(t);
    mkdirSync(join(home, '.ssh'));
    for (const type of there) {
      const name = `id_${type}`;
      for (const end of ['', '.pub']) {
        copyFileSync(join(ada.home, name + end), join(home, '.ssh', name + end));
      }
    }
    const serving = serve(t, { env });
    const { port } = await started(serving);
    const [, print, source] = await serving.says(/^first site admin: ada, key (\S+) \((.+)\)$/m);
    const made = join(dataDir, 'keys', 'admin_ed25519');
    const path = taken === undefined ? made : join(home, '.ssh', `id_${taken}`);

    t.equal(source, `${path}.pub`);
    t.equal(existsSync(made), taken === undefined);
    if (taken !== undefined) t.equal(print, keys.get(taken)?.fingerprint);
    const who = await run('ssh', [...sshWith(path), '-p', String(port), 'cpm@127.0.0.1', 'whoami']);
    t.match(who, { status: 0, stdout: /^ada, site admin\n/ }, `signs in with ${taken ?? 'it'}`);
    await stopped(serving);
  }
});

/** A real agent that holds some keys. @returns its socket */
async function agentWith(t: Test, folder: string, keys: readonly string[]): Promise<string> {
  const socket = join(folder, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
  const closed = once(agent, 'close');
  t.teardown(() => agent.kill() && closed);
  await once(agent.stdout, 'data');
  for (const key of keys) await must('ssh-add', ['-q', key], { env: { SSH_AUTH_SOCK: socket } });
  return socket;
}

t.test('S7 / test 15: an agent’s key is not taken without a terminal, one or two', async (t) => {
  const other = await generateKey(join(ada.home, 'other'));
  for (const keys of [[ada.key.privatePath, other.privatePath], [ada.key.privatePath]]) {
    const { folder, dataDir, env } = machine(t);
    const socket = await agentWith(t, folder, keys);
    const serving = serve(t, { env: { ...env, SSH_AUTH_SOCK: socket } });
    await started(serving);
    await serving.says(/first site admin/);

    t.match(serving.stdout(), `(${join(dataDir, 'keys', 'admin_ed25519.pub')})`);
    t.notMatch(serving.stdout(), ada.key.fingerprint);
    await stopped(serving);
  }
});

t.test('S7 on a terminal the agent’s only key is taken when it is confirmed', async (t) => {
  const other = await generateKey(join(ada.home, 'another'));
  const cases = [
    { keys: [ada.key.privatePath], reply: 'y', taken: true },
    { keys: [ada.key.privatePath], reply: 'n', taken: false },
    { keys: [ada.key.privatePath, other.privatePath], reply: undefined, taken: false },
  ];
  for (const { keys, reply, taken } of cases) {
    const { folder, env } = machine(t);
    const socket = await agentWith(t, folder, keys);
    const { server } = findProgram();
    const line = [...server, 'serve', '--listen', '127.0.0.1:0'].join(' ');
    // `script` is what gives it a terminal.
    const child = spawn('script', ['-qec', `exec ${line}`, '/dev/null'], {
      env: { ...env, PATH: process.env['PATH'] ?? '', SSH_AUTH_SOCK: socket, LC_ALL: 'C' },
      stdio: 'pipe',
    });
    const closed = once(child, 'close');
    let text = '';
    let replied = false;
    for await (const chunk of child.stdout) {
      text += chunk;
      if (reply !== undefined && !replied && text.includes('[y/N] ')) {
        replied = child.stdin.write(`${reply}\n`);
      }
      if (text.includes('git clone cpm:project')) break;
    }
    child.stdin.write('\x03');
    await closed;

    const question = `Use the agent's key ${ada.key.fingerprint}`;
    if (reply === undefined) t.notMatch(text, "Use the agent's key", 'two keys: not even asked');
    else t.match(text, question);
    t.equal(/first site admin: ada, key \S+ \(the agent\)/.test(text), taken);
  }
});

t.test('without CPM_ADMIN the OS account gives the name, or it is admin', async (t) => {
  const isRoot = process.getuid?.() === 0;
  const accounts = [
    { id: 0, name: 'admin', why: 'root is reserved' },
    { id: 65534, name: 'admin', why: 'nobody is reserved' },
    { id: 33, name: 'www-data', why: 'an account as it is' },
    { id: 54321, name: 'admin', why: 'a number without an account' },
  ];
  const own = userInfo().username;
  const cases = isRoot ? accounts : [{ id: userInfo().uid, name: own, why: 'our own account' }];
  for (const { id, name, why } of cases) {
    const { folder, env } = machine(t);
    chownSync(folder, id, id);
    chownSync(join(folder, 'home'), id, id);
    const { CPM_ADMIN: _, ...nameless } = env;
    const ids = [`--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
    const wrapper = isRoot ? ['setpriv', ...ids] : [];
    const serving = serve(t, { env: nameless, wrapper, cwd: '/' });

    const [, found] = await serving.says(/first site admin: (\S+), key/);

    t.equal(found, name, why);
    t.match(await stopped(serving), { status: 0 });
  }
});

t.test('what can’t be the first admin is refused, and nothing is made', async (t) => {
  const cases = [
    { set: { CPM_ADMIN: 'git' }, why: /"git" is a reserved name/ },
    { set: { CPM_ADMIN: 'Ada' }, why: /"Ada" is not a user name: capitals are not allowed/ },
    { set: { CPM_ADMIN: '../x' }, why: /"\.\.\/x" is not a user name/ },
    { set: { CPM_ADMIN_KEY: '/no/such.pub' }, why: /CPM_ADMIN_KEY: .*ENOENT/ },
    { set: { CPM_ADMIN_KEY: ada.key.privatePath }, why: /this is a private key/ },
  ];
  for (const { set, why } of cases) {
    const { dataDir, env } = machine(t);
    const answer = await serve(t, { env: { ...env, ...set } }).ended;

    t.match(answer, { status: 2, stdout: '', stderr: why });
    for (const part of ['cpm.db', 'keys', 'repositories', 'trash', 'incoming']) {
      t.notOk(existsSync(join(dataDir, part)), part);
    }
  }
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
  t.same(tree(folder), ['data', 'home']);
  t.match(await cpm(['help'], env), { status: 0 }, 'help needs none');
});

t.test('a second server on the same data directory ends with status 5 and the pid', async (t) => {
  const { env } = machine(t);
  const first = serve(t, { env });
  await started(first);

  const second = await serve(t, { env }).ended;

  t.match(second, { status: 5, stdout: '' });
  t.match(second.stderr, new RegExp(`is in use by process ${first.pid}\\n`));
  t.match(await cpm(['whoami'], env), { status: 0 }, 'the first one is well');
  t.match(await stopped(first), { status: 0 });
});

t.test('each listener has its line, IPv6 in brackets, with the real port', async (t) => {
  const { dataDir, env } = machine(t);
  const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === '::1'),
  );
  const places = ['127.0.0.1:0', '127.0.0.2:0', ...(hasIpv6 ? ['[::1]:0'] : [])];
  const args = places.flatMap((place) => ['--listen', place]);

  const serving = serve(t, { env, args });
  await serving.says(/first site admin/);

  const lines = serving.stdout().split('\n').slice(0, places.length);
  for (const [at, place] of places.entries()) {
    const head = `listening on ssh://${place.slice(0, -1)}`;
    const line = lines[at] ?? '';
    t.ok(line.startsWith(head) && /:[1-9]\d{3,4}$/.test(line), line);
    const [host = '', port = ''] = line.slice('listening on ssh://'.length).split(/:(?=\d+$)/);
    const target = ['-p', port, `git@${host.replace(/[[\]]/g, '')}`, 'whoami'];
    const who = await run('ssh', [...sshWith(join(dataDir, 'keys', 'admin_ed25519')), ...target]);
    t.match(who, { status: 0, stdout: /^ada/ }, `${place} answers`);
  }
  await stopped(serving);
});

t.test('an address that the machine lacks is a warning, unless no other is left', async (t) => {
  const { env } = machine(t);
  // Addresses for documentation, RFC 5737; a machine may have one of them all the same.
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const [one = '', other = ''] = ['192.0.2.1', '198.51.100.1', '203.0.113.1'].filter(
    (wanted) => !own.some(({ address }) => address === wanted),
  );
  const some = serve(t, { env, args: ['--listen', `${one}:0`, '--listen', '127.0.0.1:0'] });
  await started(some);
  t.match(some.stderr(), `warning: can't listen on ${one}:0: EADDRNOTAVAIL\n`);
  t.notMatch(some.stdout(), one);
  await stopped(some);

  const none = await serve(t, { env, args: ['--listen', `${one}:0`, '--listen', `${other}:0`] })
    .ended;

  t.match(none, { status: 6, stdout: '' });
  t.match(none.stderr, `can't listen on ${other}:0`);
});

t.test(
  'a port that somebody else has is told, and the next start is the first again',
  async (t) => {
    const { env } = machine(t);
    const first = serve(t, { env: machine(t).env });
    const { port } = await started(first);

    const second = await serve(t, { env, args: ['--listen', `127.0.0.1:${port}`] }).ended;

    t.match(second, { status: 6, stdout: '' });
    t.match(
      second.stderr,
      `can't listen on 127.0.0.1:${port}: EADDRINUSE\nhint: is another server`,
    );
    t.match(await cpm(['list'], env), { status: 3 }, 'a first start that came to nothing is none');
    const third = serve(t, { env });
    await third.says(/first site admin: ada/);
    await Promise.all([stopped(first), stopped(third)]);
  },
);

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
