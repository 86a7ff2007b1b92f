import { existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { Person, quoteWords } from '../support/person.ts';
import { must } from '../support/process.ts';
import { serve } from '../support/serve.ts';

const checkout = join(import.meta.dirname, '../..');
/** The runner of the tests would load itself into every Node. */
const clean = ['env', '-u', 'NODE_OPTIONS'];

/** What is packed, and nothing else. */
const packed = [
  /^README\.md$/,
  /^dist\/cpm\.cjs$/,
  /^dist\/program-[0-9a-f]{12}(\.cjs|(-flags)?\.cache|-fast\.cjs)$/,
  /^hooks\/pre-receive$/,
  /^package\.json$/,
  /^src\/(doors\/forced\/client\.c|parts\.mjs|programs\/sockets\.c)$/,
  /^systemd\/cpm\.(service|socket)$/,
];

function place(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * npm as this machine has it set up, which takes what it has in store, and compiles with the headers of this Node on every
 * processor, as src/prepare.mjs does.
 */
function npm(words: readonly string[], cwd: string) {
  const { NODE_OPTIONS: _ofTheRunner, ...own } = process.env as Record<string, string>;
  const env = {
    JOBS: 'max',
    ...own,
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_nodedir: dirname(dirname(process.execPath)),
    npm_config_prefer_offline: 'true',
    npm_config_update_notifier: 'false',
  };
  return must('npm', words, { cwd, env });
}

/**
 * Packs cpm, installs the package, and has it serve a push and a clone.
 *
 * @param byNpm - whether npm installs it, with the packages that it needs; else those of the checkout are lent to it
 */
export async function packageOf(t: Test, { byNpm }: { byNpm: boolean }): Promise<void> {
  const folder = place(t);
  // What is to be packed was built before the tests.
  await npm(
    ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder],
    checkout,
  );
  const file = join(folder, `${(await must('ls', [folder])).stdout.trim()}`);
  const files = (await must('tar', ['-tzf', file])).stdout.trim().split('\n');
  for (const name of files.map((each) => each.replace(/^package\//, '')))
    t.ok(
      packed.some((shape) => shape.test(name)),
      `${name} is packed`,
    );
  const prefix = join(folder, 'prefix');
  const home = join(prefix, 'lib/node_modules/cpm');
  if (byNpm)
    await npm(['install', '--global', '--prefix', prefix, '--loglevel=error', file], folder);
  else {
    for (const each of [home, join(prefix, 'bin')]) mkdirSync(each, { recursive: true });
    await must('tar', ['-xzf', file, '-C', home, '--strip-components=1']);
    symlinkSync(join(checkout, 'node_modules'), join(home, 'node_modules'));
    symlinkSync('../lib/node_modules/cpm/dist/cpm.cjs', join(prefix, 'bin/cpm'));
    const { scripts } = JSON.parse((await must('cat', [join(home, 'package.json')])).stdout);
    await must('env', [...clean.slice(1), ...scripts.postinstall.split(' ')], { cwd: home });
  }
  t.ok(existsSync(join(home, 'dist/cpm-forced')), 'its client for sshd was compiled');
  t.ok(existsSync(join(home, 'dist/cpm-sockets.node')));
  await serves(t, folder, { program: [...clean, join(prefix, 'bin/cpm')] });
}

/** Makes the archive and has it serve on a network where nothing but itself is. */
export async function archive(t: Test): Promise<void> {
  if (process.getuid?.() !== 0) return t.comment('a network of its own takes root');
  const folder = place(t);
  const made = (await npm(['run', '--silent', 'dist'], checkout)).stdout.trim();
  t.teardown(() => rmSync(made, { force: true }));
  await must('tar', ['-xzf', made, '-C', folder, '--strip-components=1']);
  const alone = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
  symlinkSync(join(folder, 'bin/cpm'), join(folder, 'cpm'));
  const program = [...clean, join(folder, 'cpm')];
  const pid = await serves(t, folder, { program, alone });
  t.equal(readlinkSync(`/proc/${pid}/exe`), join(folder, 'dist/node'), 'by its own Node');
}

/** @param alone - starts the server on a network of its own, where it is asked, too @returns the server's process id */
async function serves(
  t: Test,
  folder: string,
  { program, alone = [] }: { program: readonly string[]; alone?: readonly string[] },
): Promise<number> {
  let port = 0;
  const ada = await Person.create('ada', join(folder, 'ada'), { port: () => port });
  const env = {
    HOME: folder,
    CPM_DATA_DIR: join(folder, 'data'),
    CPM_ADMIN: 'ada',
    CPM_ADMIN_KEY: ada.key.publicPath,
  };
  const serving = serve(t, { env, program: [...alone, ...program] });
  port = Number((await serving.says(/^listening on ssh:\/\/127\.0\.0\.1:(\d+)$/m))[1]);
  const into = alone.length === 0 ? [] : ['nsenter', '--target', `${serving.pid}`, '--net'];
  const ssh = { GIT_SSH_COMMAND: quoteWords([...into, 'ssh', ...ada.sshOptions()]) };
  const work = await ada.worktree();
  const push = await ada.git(['push', '-q', ada.url('app'), 'main'], { cwd: work, env: ssh });
  t.match(push, { status: 0, stderr: '' });
  t.match(await ada.git(['clone', '-q', ada.url('app'), 'copy'], { env: ssh }), { status: 0 });
  const asked = await must(program[0] ?? '', [...program.slice(1), 'list', '--json'], { env });
  t.match(JSON.parse(asked.stdout), [{ name: 'ada/app', refs: 1 }]);
  return serving.pid;
}
