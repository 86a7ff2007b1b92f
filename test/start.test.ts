import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { doors, House } from './support/house.ts';
import { quoteWords } from './support/person.ts';
import { cleanEnv, must } from './support/process.ts';

const root = join(import.meta.dirname, '..');

/** `npm start` in a home where nothing is yet. @returns what it printed, and how to end it */
async function npmStart(t: Test, home: string, flags: readonly string[]) {
  const env = cleanEnv({ HOME: home, CPM_LOG_LEVEL: 'warn', npm_config_update_notifier: 'false' });
  const child = spawn('npm', ['start', '--', ...flags], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  t.teardown(() => child.kill('SIGTERM') && closed);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line.trim());
    if (line.includes('git clone')) break;
  }
  return {
    lines,
    stop: async () => {
      child.kill('SIGTERM');
      return await closed;
    },
  };
}

t.test('npm start, then the lines it prints, give a git server to push to', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const { lines, stop } = await npmStart(t, home, ['--listen', '127.0.0.1:0']);
  t.match(lines.join('\n'), /^listening on ssh:\/\/127\.0\.0\.1:\d+$/m);
  const begin = lines.indexOf('Host cpm');
  const config = join(home, 'ssh_config');
  writeFileSync(config, lines.slice(begin, lines.indexOf('', begin)).join('\n'));
  // The printed host name is this machine's; the test listens on the loopback alone.
  const options = ['HostName=127.0.0.1', 'BatchMode=yes', 'StrictHostKeyChecking=no'];
  const known = `UserKnownHostsFile=${join(home, 'known_hosts')}`;
  const ssh = ['-F', config, ...[...options, known].flatMap((option) => ['-o', option])];
  const env = { HOME: home, GIT_SSH_COMMAND: quoteWords(['ssh', ...ssh]) };

  await must('ssh', [...ssh, 'cpm', 'init', 'project'], { env });
  await must('git', ['push', 'cpm:project', 'HEAD:refs/heads/main'], { cwd: root, env });
  await must('git', ['clone', '-q', 'cpm:project'], { cwd: home, env });

  const head = await must('git', ['rev-parse', 'HEAD'], { cwd: root, env });
  const cloned = await must('git', ['rev-parse', 'origin/main'], {
    cwd: join(home, 'project'),
    env,
  });
  t.equal(cloned.stdout, head.stdout, 'the whole history came back');
  await must('git', ['fsck', '--strict'], { cwd: join(home, 'project'), env });
  t.strictSame(await stop(), [0, null], 'it ends well when npm is told to end');
});

t.test('whoever is asked, list and init answer alike', async (t) => {
  const house = await House.open(t);
  for (const { name, run } of doors(house)) {
    t.match(await run(['init', `ada/by-${name}`]), { status: 0 }, `init at the ${name} door`);
    t.match(await run(['init', `ada/by-${name}`]), { status: 5 }, `taken at the ${name} door`);
  }

  const answers = await Promise.all(doors(house).map(({ run }) => run(['list', '--json'])));

  const [first, ...others] = answers.map(({ stdout }) => JSON.parse(stdout));
  t.match(first, [{ name: 'ada/by-local' }, { name: 'ada/by-ssh' }]);
  for (const other of others) t.strictSame(other, first);
});

t.test('what was pushed outlives a crash of the server', async (t) => {
  const house = await House.open(t);
  const bo = await house.person('bo');
  const work = await bo.worktree();
  t.match(await bo.git(['push', '-q', bo.url('bo/app'), 'main'], { cwd: work }), { status: 0 });

  await house.kill();
  await house.restart();

  const head = await bo.git('rev-parse main', { cwd: work });
  t.match(await bo.git(['ls-remote', bo.url('bo/app'), 'refs/heads/main']), {
    status: 0,
    stdout: `${head.stdout.trim()}\trefs/heads/main\n`,
  });
  await house.stop();
});
