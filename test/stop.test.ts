import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { halfPush } from './support/half-push.ts';
import { House } from './support/house.ts';
import { signIn } from './support/raw.ts';

/** What becomes of somebody who connects now. */
async function connecting(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
  });
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} lets a push finish, takes nobody else, and ends with 0`, async (t) => {
    const house = await House.open(t, { config: 'shutdown:\n  grace: 30s\n' });
    const { pause, ended } = await halfPush(t, house);
    const idle = await signIn(house, house.admin);
    const { pid } = house;

    const stopped = house.stop(signal);
    t.match(await idle.end(), /the server is stopping/, 'who does nothing is let go at once');
    t.equal(await connecting(house.port), 'ECONNREFUSED', 'nobody else is let in');
    process.kill(pid, 0);
    pause.resume();

    t.match(await ended, { status: 0 }, 'the push is done');
    await stopped;
    t.notOk(existsSync(join(house.dataDir, 'run', 'cpm.sock')), 'no socket is left');
    t.notOk(existsSync(join(house.dataDir, 'run', 'pid')), 'nor the pid');
    await house.restart();
    t.match(await house.admin.ssh('show app'), { status: 0, stdout: /refs\/heads\/main/ });
    t.match(await house.command('audit verify'), { status: 0 });
    const open = JSON.parse((await house.command('audit list --limit 1000 --json')).stdout).filter(
      ({ outcome, action }: { outcome: string; action: string }) =>
        outcome === 'open' && action !== 'audit list',
    );
    t.same(open, [], 'every record is closed');
  });
}

t.test('a push that is not done within the grace is ended, with a reason', async (t) => {
  const house = await House.open(t, { config: 'shutdown:\n  grace: 1s\n' });
  const { ended } = await halfPush(t, house);

  const began = Date.now();
  await house.stop('SIGTERM');
  const { status, stderr } = await ended;

  t.ok(Date.now() - began < 8000, 'soon after the second');
  t.not(status, 0);
  t.match(stderr, /the server is stopping/);
  await house.restart();
  t.match(JSON.parse((await house.command('show app --json')).stdout), { refs: [] });
  t.match(await house.command('audit list --action git-receive-pack --json'), {
    stdout: /"outcome":"interrupted"/,
  });
});

t.test('a client that came before the end and asks after it is told', async (t) => {
  const house = await House.open(t);
  const { pause, ended } = await halfPush(t, house);
  const idle = await signIn(house, house.admin);
  const early = await signIn(house, house.admin);
  const channel = await early.open(0);
  const end = early.collect();

  const stopped = house.stop('SIGTERM');
  await idle.end();
  early.request(channel, 'exec', 'whoami');

  t.match(await end, { status: 6, stderr: /the server is stopping\nhint: try again soon/ });
  pause.resume();
  t.match(await ended, { status: 0 });
  await stopped;
});
