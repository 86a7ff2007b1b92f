import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { initBare } from '../../src/programs/bare.ts';
import { openGit } from '../../src/programs/git.ts';
import { endLeftovers } from '../../src/programs/leftovers.ts';
import { listProcesses, readProcess } from '../../src/programs/processes.ts';
import { loader } from '../support/program.ts';

/** A child that carries a mark, and has said that it runs. */
async function marked(t: Test, house: string, source: string) {
  const child = spawn(process.execPath, ['-e', `${source}; console.log('up')`], {
    env: { CPM_HOUSE: house },
    detached: true,
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

const patient = 'setInterval(() => {}, 1000)';
const deaf = `process.on('SIGTERM', () => {}); ${patient}`;

t.test('children of a dead server are ended: patient, deaf and stopped ones', async (t) => {
  const house = randomUUID();
  const ours = await Promise.all([
    marked(t, house, patient),
    marked(t, house, deaf),
    marked(t, house, deaf),
    marked(t, house, patient),
  ]);
  const other = await marked(t, randomUUID(), patient);
  for (const child of ours.slice(2)) child.kill('SIGSTOP');
  const ends = ours.map((child) => once(child, 'exit'));

  t.equal(await endLeftovers(house), 4);

  const signals = (await Promise.all(ends)).map(([, signal]) => signal);
  t.same(signals, ['SIGTERM', 'SIGKILL', 'SIGKILL', 'SIGTERM']);
  t.equal(other.exitCode, null);
  t.equal(other.signalCode, null, 'another house’s child lives on');
  t.equal(await endLeftovers(house), 0);
});

t.test('a real git of ours is found by its mark', async (t) => {
  const root = t.testdir({ home: {} });
  const house = randomUUID();
  const git = await openGit({ houseId: house, emptyHome: join(root, 'home') });
  const repo = join(root, 'a.git');
  await initBare(repo, { defaultBranch: 'main', repoId: 'x' });
  const child = git.start(['upload-pack', '.'], { cwd: repo });
  await once(child.stdout, 'data');

  t.equal(await endLeftovers(house), 1);

  t.match(await child.exited, { signal: 'SIGTERM' });
});

t.test('neither this process nor one that it descends from is hit', async (t) => {
  const house = randomUUID();
  const source = `
    import { spawn } from 'node:child_process';
    const child = spawn(process.execPath, ['--import', '${loader}', '-e',
      "import('./src/programs/leftovers.ts').then(async ({ endLeftovers }) => console.log(await endLeftovers(process.env.CPM_HOUSE)))"],
      { stdio: 'inherit' });
    child.on('exit', (status) => process.exit(status ?? 1));
  `;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', source], {
    env: { ...process.env, CPM_HOUSE: house },
  });
  let said = '';
  parent.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const [status] = await once(parent, 'close');

  t.equal(status, 0);
  t.equal(said, '0\n');
});

t.test('processes are read as they are, whatever their name', async (t) => {
  const own = await readProcess(process.pid);
  t.match(own, { pid: process.pid, parent: process.ppid });
  t.match(own?.startTime, /^\d+$/);
  const odd = spawn(process.execPath, [
    '-e',
    "process.title = ') R 1 ('; console.log('up'); setInterval(() => {}, 1000)",
  ]);
  t.teardown(() => odd.kill());
  await once(odd.stdout, 'data');
  t.match(await readProcess(odd.pid ?? 0), { parent: process.pid, state: /^[SR]$/ });
  t.ok((await listProcesses()).some(({ pid }) => pid === odd.pid));
  t.equal(await readProcess(2 ** 30), undefined);
});
