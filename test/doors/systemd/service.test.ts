import { once } from 'node:events';
import { chmodSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { takeTold } from '../../../src/doors/systemd/told.ts';
import { cpm, machine, started, stopped } from '../../support/machine.ts';
import { openManager } from '../../support/manager.ts';
import { Person } from '../../support/person.ts';
import { serve } from '../../support/serve.ts';

/** Starts a program that finds its own pid in LISTEN_PID, as systemd does it. */
const heir = ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh'];

async function listener(host = '127.0.0.1'): Promise<Server & { port: number }> {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return Object.assign(server, { port });
}

t.test('a service is served on the sockets of its socket unit, and says how it is', async (t) => {
  const { folder, env } = machine(t);
  const address = join(folder, 'notify');
  const manager = await openManager(t, address);
  const [ssh, git] = await Promise.all([listener(), listener()]);
  const serving = serve(t, {
    env: {
      ...env,
      NOTIFY_SOCKET: address,
      WATCHDOG_USEC: '200000',
      LISTEN_FDS: '2',
      LISTEN_FDNAMES: 'ssh:neighbors',
    },
    wrapper: heir,
    args: [],
    sockets: [ssh, git],
  });
  const { port } = await started(serving);
  await serving.says(/^listening on git:\/\/127\.0\.0\.1:(\d+)$/m);
  for (const server of [ssh, git]) server.close();

  t.equal(port, ssh.port, 'the address is that of the socket, and nothing else is opened');
  const ready = await manager.hears(/^READY=1$/);
  t.match(ready[1], new RegExp(`^STATUS=listening on ssh://127.0.0.1:${port}, .*:${git.port}$`));
  await manager.hears(/^WATCHDOG=1$/, 4);

  const restarted = await cpm(['restart', '--json'], env);
  t.match(restarted, { status: 0 });
  const { pid } = JSON.parse(restarted.stdout);
  t.strictSame(await manager.hears(/^MAINPID=/), [`MAINPID=${pid}`]);
  t.strictSame(await manager.hears(/^READY=1$/, 2), ready, 'on the same sockets');

  process.kill(pid, 'SIGHUP');
  const [, monotonic] = await manager.hears(/^RELOADING=1$/);
  t.match(monotonic, /^MONOTONIC_USEC=\d+$/);
  await manager.hears(/^READY=1$/, 3);

  process.kill(pid, 'SIGTERM');
  t.match(await serving.ended, { status: 0 });
  const [, longest] = await manager.hears(/^STOPPING=1$/);
  t.equal(longest, 'EXTEND_TIMEOUT_USEC=45000000', 'the grace of 30 s, and some');
  const order = manager.heard.map(([line]) => line).filter((line) => line !== 'WATCHDOG=1');
  t.strictSame(order, [
    'READY=1',
    `MAINPID=${pid}`,
    'READY=1',
    'RELOADING=1',
    'READY=1',
    'STOPPING=1',
  ]);
});

t.test(
  "what was passed on is nobody else's: no child has the sockets, or hears of them",
  async (t) => {
    const { folder, dataDir, env } = machine(t);
    const manager = await openManager(t, `@${folder}`);
    const ssh = await listener();
    const ada = await Person.create('ada', join(folder, 'ada'), { port: () => ssh.port });
    const serving = serve(t, {
      env: {
        ...env,
        CPM_ADMIN_KEY: ada.key.publicPath,
        NOTIFY_SOCKET: `@${folder}`,
        LISTEN_FDS: '1',
      },
      wrapper: heir,
      args: [],
      sockets: [ssh],
    });
    await manager.hears(/^READY=1$/);
    const inode = readlinkSync(`/proc/${serving.pid}/fd/3`);
    ssh.close();
    const script = join(dataDir, 'hooks.d', 'look');
    writeFileSync(script, `#!/bin/sh\nexec >"${folder}/seen"\nls -l /proc/$$/fd\nenv\n`);
    chmodSync(script, 0o755);

    const work = await ada.worktree();
    t.match(await ada.git(['push', ada.url('app'), 'main'], { cwd: work }), { status: 0 });

    const seen = readFileSync(join(folder, 'seen'), 'utf8');
    t.match(inode, /^socket:/);
    t.match(seen, /GIT_DIR=/);
    t.notMatch(seen, inode);
    t.notMatch(seen, /NOTIFY_SOCKET|LISTEN_|WATCHDOG_/);
    await stopped(serving);
  },
);

t.test('what was meant for another process, or for no door, is not taken', async (t) => {
  const sockets = { LISTEN_FDS: '1', LISTEN_FDNAMES: 'ssh', LISTEN_PID: '7' };
  const told = (env: NodeJS.ProcessEnv) => takeTold({ ...env }, 7);

  t.strictSame(told(sockets).sockets, [{ fd: 3, name: 'ssh' }]);
  t.strictSame(told({ ...sockets, LISTEN_PID: '8' }).sockets, []);
  t.strictSame(told({ LISTEN_FDS: '1' }).sockets, []);
  t.strictSame(told({ LISTEN_PID: '7', LISTEN_FDS: '2' }).sockets.length, 2);
  t.throws(() => told({ ...sockets, LISTEN_FDNAMES: 'http' }), { code: 'usage', message: /http/ });
  t.throws(() => told({ ...sockets, LISTEN_FDS: '-1' }), { code: 'usage' });
  t.equal(told({ WATCHDOG_USEC: '3000000' }).watchdogMs, 3000);
  for (const WATCHDOG_USEC of ['', '0', '-5', 'x', 'Infinity'])
    t.equal(told({ WATCHDOG_USEC }).watchdogMs, undefined, WATCHDOG_USEC);
  t.equal(told({ WATCHDOG_USEC: '3000000', WATCHDOG_PID: '8' }).watchdogMs, undefined);
  const env = { ...sockets, NOTIFY_SOCKET: '@x', PATH: '/bin' };
  t.equal(takeTold(env, 7).notifySocket, '@x');
  t.strictSame(env, { PATH: '/bin' }, 'and none of it is left');

  const { env: house } = machine(t);
  const odd = serve(t, { env: { ...house, LISTEN_FDS: '1' }, wrapper: heir, args: [] });
  t.match(await odd.ended, { status: 6, stderr: /can't listen on the passed socket 3/ });
});
