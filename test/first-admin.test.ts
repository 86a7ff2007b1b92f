import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { machine, started, stopped } from './support/machine.ts';
import { generateKey, type KeyPair, Person } from './support/person.ts';
import { must, run } from './support/process.ts';
import { findProgram } from './support/program.ts';
import { serve } from './support/serve.ts';

const ada = await Person.create('ada', mkdtempSync(join(tmpdir(), 'cpm-')), { port: () => 0 });
t.teardown(() => rmSync(ada.home, { recursive: true, force: true }));

/** The ssh client's options to sign in with another key than ada's own. */
function sshWith(identity: string): string[] {
  return ada.sshOptions().map((word) => (word === ada.key.privatePath ? identity : word));
}

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
  const own = userInfo();
  const accounts = [
    { id: 0, name: 'admin', why: 'root is reserved' },
    { id: 65534, name: 'admin', why: 'nobody is reserved' },
    { id: 33, name: 'www-data', why: 'an account as it is' },
    { id: 54321, name: 'admin', why: 'a number without an account' },
  ].filter(({ id }) => id === 0 || isReadable(id));
  const ours = [{ id: own.uid, name: own.username, why: 'our own account' }];
  for (const { id, name, why } of own.uid === 0 ? accounts : ours) {
    const { folder, env } = machine(t);
    chownSync(folder, id, id);
    chownSync(join(folder, 'home'), id, id);
    const { CPM_ADMIN: _, ...nameless } = env;
    const wrapper = own.uid === 0 ? asAccount(id) : [];
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

function asAccount(id: number): readonly string[] {
  return ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
}

/** Root's checkout may lie where no other account may look: then no other account can start the program. */
function isReadable(id: number): boolean {
  const [setpriv = '', ...words] = asAccount(id);
  const file = findProgram().server.at(-1) ?? '';
  return spawnSync(setpriv, [...words, 'test', '-r', file]).status === 0;
}
