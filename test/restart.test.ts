import { once } from 'node:events';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { restarts } from './campaigns/restart.ts';
import { halfPush } from './support/half-push.ts';
import { House } from './support/house.ts';
import { cpm, machine, started, stopped } from './support/machine.ts';
import { findProgram } from './support/program.ts';
import { serve } from './support/serve.ts';

const untouched = process.env['CPM_TEST_PROGRAM'];
const dist = copyOfProgram();
const house = await House.open(t, { config: 'log_level: info\n' });
if (untouched === undefined) delete process.env['CPM_TEST_PROGRAM'];
else process.env['CPM_TEST_PROGRAM'] = untouched;
const settings = join(house.folder, 'config.yaml');

const asJson = ({ stdout }: { stdout: string }) => JSON.parse(stdout);

/** The record of the last restart, after a look that all is well. */
async function lastRestart(t: Test): Promise<unknown> {
  t.match(await house.admin.ssh('whoami'), { status: 0 }, 'it answers');
  t.match(await house.command('audit verify'), { status: 0 });
  const rows = asJson(await house.command('audit list --limit 1000 --json'));
  const open = rows.filter(({ outcome }: { outcome: string }) => outcome === 'open');
  t.equal(open.length, 1, 'only the record of this very look is open');
  t.notMatch(house.stderr, /cleaned up after a crash|request failed/);
  return rows.find(({ action }: { action: string }) => action === 'restart');
}

/** A restart whose new process waits for what the old one has running. @returns the pid of the one that waits */
async function begun(restart: Promise<unknown>): Promise<number> {
  const said = house.stderr.length;
  const words = /"pid":(\d+),"msg":"another process is to serve"/;
  await Promise.race([house.says(new RegExp(`[^]{${said}}${words.source}`)), restart]);
  return Number(words.exec(house.stderr.slice(said))?.[1]);
}

// `npm run campaign -- restart` does the same fifty times.
t.test('three restarts under load: nobody is refused, and nothing is lost', (t) =>
  restarts(t, { count: 3, clients: 3 }),
);

t.test('a configuration that is no good leaves the old server as it was', async (t) => {
  const { pid } = house;
  writeFileSync(settings, 'log_level: loud\n');

  const answer = await house.command('restart', { env: { CPM_CONFIG: '/dev/null' } });
  writeFileSync(settings, 'log_level: info\n');

  t.match(answer, { status: 6, stdout: '' });
  t.match(answer.stderr, /the new server did not start, the old one serves on: .*log_level/s);
  t.equal(house.pid, pid);
  t.match(await lastRestart(t), { outcome: 'failed' });
});

t.test('a new process that is killed while it waits changes nothing', async (t) => {
  const { pause, ended } = await halfPush(t, house, 'killed');
  const { pid } = house;

  const restart = house.command('restart');
  process.kill(await begun(restart), 'SIGKILL');
  const came = house.admin.ssh('whoami');
  pause.resume();

  t.match(await ended, { status: 0 });
  t.match(await restart, { status: 6, stderr: /the old one serves on: it ended with SIGKILL/ });
  t.match(await came, { status: 0 }, 'who came meanwhile is served');
  t.equal(house.pid, pid);
  t.match(await lastRestart(t), { outcome: 'failed', detail: { code: 'unavailable' } });
});

t.test('transfers end in the old process, and whoever comes waits for the new one', async (t) => {
  const { pause, ended } = await halfPush(t, house, 'ends');
  const { pid } = house;

  const restart = house.command('restart --json');
  const heir = await begun(restart);
  const came = [house.admin.ssh('whoami'), house.command('whoami')];
  process.kill(pid, 0);
  pause.resume();

  t.match(await ended, { status: 0 }, 'the push is done');
  t.match(asJson(await restart), { changed: true, pid: heir });
  t.equal(house.pid, heir);
  for (const each of came) t.match(await each, { status: 0 });
  await gone(pid);
  const detail = { pid: heir };
  t.match(await lastRestart(t), { door: 'local', principal: 'operator', outcome: 'ok', detail });
});

t.test('what is not done within the grace is ended', async (t) => {
  const { ended } = await halfPush(t, house, 'late');

  t.match(await house.command('restart --grace 1s'), { status: 0, stdout: /serves now/ });

  const { status, stderr } = await ended;
  t.not(status, 0);
  t.match(stderr, /the server is restarting/);
  t.match(asJson(await house.command('show late --json')), { refs: [] });
  t.match(await lastRestart(t), { outcome: 'ok' });
});

t.test('a program that fails at the database leaves the old one at its place', async (t) => {
  const { pid } = house;
  for (const name of readdirSync(dist).filter((file) => /^program-[0-9a-f]+\.cjs$/.test(file))) {
    const text = readFileSync(join(dist, name), 'utf8');
    const fails = text.replace(
      /(function migrate\([^)]*\) \{)/,
      "$1 throw new Error('no such column');",
    );
    t.not(fails, text);
    writeFileSync(join(dist, name), fails);
  }

  const restart = house.command('restart');
  await begun(restart);
  const came = house.admin.ssh('whoami');

  t.match(await restart, { status: 6, stderr: /the old one serves on/ });
  t.match(await came, { status: 0 }, 'who came meanwhile is served');
  t.equal(house.pid, pid);
  t.match(await lastRestart(t), { outcome: 'failed', detail: { code: 'unavailable' } });
});

t.test('an address that another program has is found before the database is touched', async (t) => {
  const { pid } = house;
  const other = createServer().listen(0, '127.0.0.1');
  t.teardown(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  writeFileSync(settings, `neighbors.listen: 127.0.0.1:${port}\n`);

  // The program on disk is the one that fails at the database, would it come so far.
  const answer = await house.command('restart');
  writeFileSync(settings, 'log_level: info\n');

  t.match(answer, { status: 6, stdout: '' });
  t.match(
    answer.stderr,
    `the old one serves on: can't listen on git://127.0.0.1:${port}: EADDRINUSE`,
  );
  t.equal(house.pid, pid);
  t.match(await lastRestart(t), { outcome: 'failed', detail: { code: 'unavailable' } });
});

t.test('a server takes the place of the one that runs, from wherever it is started', async (t) => {
  const { dataDir, env } = machine(t);
  const alone = serve(t, { env, args: ['--listen', '127.0.0.1:0', '--takeover'] });
  const { port } = await started(alone);
  t.match(await cpm(['whoami'], env), { status: 0 }, 'where none runs it starts as any');

  const taken = ['--listen', '127.0.0.1:0', '--listen', `127.0.0.1:${house.port}`, '--takeover'];
  const late = await serve(t, { env, args: taken }).ended;
  t.match(late, { status: 6, stderr: `can't listen on 127.0.0.1:${house.port}: EADDRINUSE` });
  const args = ['--listen', '127.0.0.1:0', '--listen', '127.0.0.2:0', '--takeover'];
  const next = serve(t, { env, args });
  t.equal((await started(next)).port, port, 'it has the socket of the first');
  t.match(next.stdout(), /^listening on ssh:\/\/127\.0\.0\.2:\d+$/m, 'and one of its own');

  t.match(await alone.ended, { status: 0 });
  t.equal(Number(readFileSync(join(dataDir, 'run', 'pid'), 'utf8')), next.pid);
  const [row] = asJson(await cpm(['audit', 'list', '--action', 'serve --takeover', '--json'], env));
  t.match(row, { principal: 'operator', outcome: 'ok', detail: { pid: next.pid } });
  t.match(await stopped(next), { status: 0 });
  t.match(await cpm(['restart'], env), { status: 6, stderr: /no server runs.*\nhint: start one/ });
});

async function gone(pid: number): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await wait(20, undefined, { signal });
  }
}

/** The program in a folder of its own, where it can be changed: the house's own. */
function copyOfProgram(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const [program = ''] = findProgram().command.slice(-1);
  const copy = join(folder, 'dist');
  cpSync(dirname(program), copy, { recursive: true });
  symlinkSync(join(import.meta.dirname, '../node_modules'), join(folder, 'node_modules'));
  process.env['CPM_TEST_PROGRAM'] = join(copy, 'cpm.cjs');
  return copy;
}
