import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import { cpm, machine } from '../support/machine.ts';
import { generateKey } from '../support/person.ts';
import { type Answer, run } from '../support/process.ts';
import { findProgram } from '../support/program.ts';

const { folder, env, dataDir } = machine(t);
const key = await generateKey(join(folder, 'ana'));
const admin = ['--admin', 'ana', '--admin-key', key.publicPath];
const isRoot = process.getuid?.() === 0;

interface Plan {
  readonly changed: boolean;
  readonly account: string;
  readonly data_dir: string;
  readonly unit: string;
  readonly steps: readonly { action: string; target: string; content: string | null }[];
}

/** What would be done. */
async function plan(words: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const answer = await install([...words, '--dry-run', '--json'], more);
  t.match(answer, { status: 0 }, answer.stderr);
  const made = JSON.parse(answer.stdout) as Plan;
  const file = (name: string) =>
    made.steps.find(({ target }) => basename(target) === name)?.content ?? '';
  return { ...made, file, notes: answer.stderr };
}

/** `cpm service install`, of nobody's configuration. @param more - of the environment */
function install(
  words: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return cpm(['service', 'install', ...words], { HOME: env['HOME'] ?? '', ...more });
}

/** What systemd says of the units of a plan. */
async function verified(made: Awaited<ReturnType<typeof plan>>, flags: readonly string[] = []) {
  const place = join(folder, `units-${made.account}${flags.length}`);
  for (const name of ['cpm.service', 'cpm.socket', 'first-admin.conf']) {
    const path = join(place, name === 'first-admin.conf' ? `cpm.service.d/${name}` : name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, made.file(name));
  }
  const file = join(place, 'cpm.service');
  const words = [...flags, 'verify', '--man=no', file];
  return {
    file,
    answer: await run('systemd-analyze', words, { env: { XDG_RUNTIME_DIR: folder } }),
  };
}

t.test('--dry-run shows every file and command, and does nothing', async (t) => {
  const made = await plan(admin);

  t.match(made, { changed: true, account: 'cpm', data_dir: '/var/lib/cpm' });
  t.match(made.notes, /^dry run: nothing was changed$/m);
  t.strictSame(
    made.steps.map(({ action, target }) => `${action} ${target.split(' ')[0]}`),
    [
      ...(made.steps[0]?.action === 'account' ? ['account useradd'] : []),
      'directory /var/lib/cpm',
      'file /etc/cpm/first-admin.pub',
      'file /etc/systemd/system/cpm.service.d/first-admin.conf',
      'file /etc/systemd/system/cpm.service',
      'file /etc/systemd/system/cpm.socket',
      'run systemctl',
      'run systemctl',
    ],
  );
  t.equal(made.file('first-admin.pub'), `${key.line}\n`);
  t.match(made.file('first-admin.conf'), /^Environment=CPM_ADMIN=ana$/m);
  t.match(
    made.file('cpm.service'),
    ` ${findProgram().command.at(-1)} --data-dir /var/lib/cpm serve`,
  );
  const { file, answer } = await verified(made);
  t.match(answer, { status: 0, stdout: '', stderr: '' });
  const { stdout } = await run('systemd-analyze', ['security', '--offline=true', file]);
  t.ok(Number(/exposure level for cpm\.service: ([\d.]+)/.exec(stdout)?.[1]) <= 2.0);
  const text = await install([...admin, '--dry-run']);
  for (const each of made.steps) t.ok(text.stdout.includes(each.target), each.target);
  t.throws(() => readFileSync('/etc/systemd/system/cpm.service.d/first-admin.conf'));
});

t.test('the units follow the configuration', async (t) => {
  const odd = join(folder, 'a b%c');
  const made = await plan(['--data-dir', odd], {
    CPM_LISTEN: '192.0.2.1:22,[2001:db8::1]:22',
    CPM_SHUTDOWN__GRACE: '10m',
  });

  const quoted = `"${odd.replace('%', '%%')}"`;
  const service = made.file('cpm.service');
  for (const line of [`RequiresMountsFor=${quoted}`, `BindPaths=${quoted}`, 'TimeoutStopSec=660s'])
    t.ok(service.split('\n').includes(line), line);
  t.notMatch(service, /^StateDirectory=/m);
  const listens = made.file('cpm.socket').match(/^ListenStream=.*$/gm);
  t.strictSame(listens, ['ListenStream=192.0.2.1:22', 'ListenStream=[2001:db8::1]:22']);
  t.match((await verified(made)).answer, { status: 0, stdout: '', stderr: '' });
  t.match(await install(['--dry-run'], { CPM_LISTEN: 'localhost:2222' }), { status: 2 });
  t.match(await install(['--dry-run'], { CPM_LISTEN: '127.0.0.1:0' }), { status: 2 });
  t.match(await install(['--dry-run', '--data-dir', '/srv/a:b']), { status: 2, stderr: /colon/ });
});

t.test("--user makes a service of the account's own, without what takes root", async (t) => {
  const made = await plan(['--user', ...admin, '--data-dir', dataDir]);

  t.ok(made.unit.startsWith(join(env['HOME'] ?? '-', '.config/systemd/user/')));
  t.ok(made.steps.every(({ action, target }) => action !== 'file' || target.startsWith(folder)));
  const service = made.file('cpm.service');
  t.notMatch(service, /^(User|ProtectSystem|CapabilityBoundingSet|StateDirectory)=/m);
  t.match(service, /^SystemCallFilter=@system-service$/m);
  t.match(service, /^WantedBy=default\.target$/m);
  t.match(made.file('first-admin.conf'), `CPM_ADMIN_KEY=${key.publicPath}`);
  t.match((await verified(made, ['--user'])).answer, { status: 0, stdout: '' });
});

t.test('what can not be is said, with what can, before anything is done', async (t) => {
  const bad = join(folder, 'bad.pub');
  writeFileSync(bad, 'ssh-ed25519 AAAA');
  for (const [words, said] of [
    [['--admin', 'ana'], /--admin and --admin-key go together/],
    [['--admin-key', key.publicPath], /go together/],
    [['--admin', 'root', '--admin-key', key.publicPath], /root/],
    [['--admin', 'ana', '--admin-key', join(folder, 'none')], /can't be read: ENOENT/],
    [['--admin', 'ana', '--admin-key', bad], /^cpm: /],
    [['--admin', 'ana', '--admin-key', key.privatePath], /^cpm: /],
    [['--admin'], /--admin lacks its value/],
  ] as const)
    t.match(await install([...words]), { status: 2, stdout: '', stderr: said }, words.join(' '));
  t.match(await install(['--user']), { status: 6, stderr: /systemd.*nothing was done/ });
});

t.test('whoever is not root is told the form that works', { skip: !isRoot }, async (t) => {
  // A place that another account can read.
  chmodSync(folder, 0o755);
  const place = join(folder, 'elsewhere/public.pub');
  mkdirSync(dirname(place), { mode: 0o755 });
  copyFileSync(key.publicPath, place);
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const { command } = findProgram();
  const read = await run('setpriv', [...nobody, 'test', '-r', command.at(-1) ?? ''], { cwd: '/' });
  if (read.status !== 0) return t.pass('the program lies where root alone can read');
  const words = [...command, 'service', 'install', '--admin', 'ana'];
  const answer = await run('setpriv', [...nobody, ...words, '--admin-key', place], { cwd: '/' });
  t.match(answer, { status: 4, stdout: '', stderr: /--user$/m });
});
