import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lockHouse } from '../../src/store/sqlite.ts';
import { loader } from '../support/program.ts';

const source = `
  import { lockHouse } from './src/store/sqlite.ts';
  process.stderr.write('tries');
  const lock = await lockHouse(process.argv[1], Number(process.argv[2]));
  console.log(lock === undefined ? 'busy' : 'held');
  if (lock !== undefined) setInterval(() => undefined, 1000);
`;

/** Another process that tries to take the lock, and keeps it. It has begun to try when this resolves. */
async function other(t: Test, path: string, waitMs = 0) {
  const args = ['--import', loader, '--input-type=module', '-e', source, path, String(waitMs)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  const said = once(child.stdout, 'data').then(String);
  await once(child.stderr, 'data');
  return { child, said: said.then((text) => text.trim()) };
}

t.test('one process has the data directory; kill -9 lets go of it', async (t) => {
  const path = join(t.testdir(), 'lock.db');

  const holder = await other(t, path);
  t.equal(await holder.said, 'held');
  t.equal(await lockHouse(path, 0), undefined, 'not this process');
  const second = await other(t, path);
  t.equal(await second.said, 'busy', 'nor a third');

  holder.child.kill('SIGKILL');
  await once(holder.child, 'exit');
  const ours = await lockHouse(path, 0);
  t.ok(ours, 'at once');
  t.equal(statSync(path).mode & 0o777, 0o600);

  const third = await other(t, path);
  t.equal(await third.said, 'busy');
  ours?.release();
  const fourth = await other(t, path);
  t.equal(await fourth.said, 'held', 'after it was released');
});

t.test('who waits for the lock gets it when the holder dies', async (t) => {
  const path = join(t.testdir(), 'lock.db');
  const holder = await other(t, path);
  t.equal(await holder.said, 'held');
  const waiting = await other(t, path, 20_000);

  holder.child.kill('SIGKILL');

  t.equal(await waiting.said, 'held');
});

t.test('who waits for the lock does other work meanwhile, and may give up', async (t) => {
  const path = join(t.testdir(), 'lock.db');
  const holder = await other(t, path);
  t.equal(await holder.said, 'held');
  const given = new AbortController();
  const begun = performance.now();

  const waiting = lockHouse(path, 20_000, given.signal);
  let ticks = 0;
  while (ticks < 20) await new Promise((resolve) => setTimeout(resolve, 10)).then(() => ticks++);
  t.ok(performance.now() - begun < 5000, 'timers ran on');
  given.abort();

  t.equal(await waiting, undefined);
});
