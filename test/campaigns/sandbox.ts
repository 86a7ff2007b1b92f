import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { House } from '../support/house.ts';
import { introduce } from '../support/pair.ts';
import { Person } from '../support/person.ts';
import { findProgram } from '../support/program.ts';
import { node, program, Systemd } from '../support/systemd.ts';

/** Tries what the service must not be able to do, and tells the pusher what worked. */
const prisoner = `#!/bin/sh
for file in /usr/escaped /etc/escaped /opt/cpm/escaped /var/lib/escaped /dev/escaped; do
  ! touch $file 2>&- || echo "escaped: wrote $file"
done
! ls /root/* >&- 2>&- || echo 'escaped: read a home'
! mount -t tmpfs tmpfs /mnt 2>&- || echo 'escaped: mounted'
! unshare --user true 2>&- || echo 'escaped: has namespaces'
! chmod u+s "$0" 2>&- || echo 'escaped: set a bit'
id -un
`;

/** The runner of the tests would load itself into every Node. */
const cpm = ['env', '-u', 'NODE_OPTIONS', node, join(program, 'dist/cpm.cjs')];
const operator = ['setpriv', '--reuid=cpm', '--regid=cpm', '--clear-groups', ...cpm];

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * Has a real systemd run what `service install` makes, with all that its sandbox takes away: pushes, clones, syncs with
 * another server, and asks again and again while the service restarts, by cpm's own command and by systemd's.
 *
 * @param restarts - of each kind; with none there is one by cpm alone, and no other server
 */
export async function sandbox(t: Test, { restarts }: { restarts: number }): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const checkout = dirname(dirname(findProgram().command.at(-1) ?? ''));
  const systemd = await Systemd.open(t, { checkout, folder });
  if (systemd === undefined) return t.comment('no systemd can be started here: it takes root');
  const port = await freePort();
  const ada = await Person.create('ada', join(folder, 'ada'), { port: () => port });
  copyFileSync(ada.key.publicPath, join(folder, 'ada.pub'));
  const words = ['service', 'install', '--admin', 'ada', '--admin-key', '/run/test/ada.pub'];
  const env = { CPM_LISTEN: `127.0.0.1:${port}` };
  const install = async () => {
    const answer = await systemd.run([...cpm, ...words, '--json'], env);
    t.match(answer, { status: 0, stderr: '' });
    return JSON.parse(answer.stdout);
  };

  const made = await install();
  t.match(made, { changed: true, account: 'cpm', data_dir: '/var/lib/cpm' });
  t.match(await install(), { changed: false, steps: [] }, 'done already is done');
  t.equal((await ada.ssh('whoami --json')).status, 0);
  const shown = ['show', '--property=MainPID,Result,StatusText', 'cpm.service'];
  const { stdout: state } = await systemd.run(['systemctl', ...shown]);
  t.match(state, `StatusText=listening on ssh://127.0.0.1:${port}`);
  const recorded = await ada.ssh(['audit', 'list', '--action', 'service installed', '--json']);
  t.match(JSON.parse(recorded.stdout), [{ principal: 'operator', target: made.unit }]);

  const hook = systemd.path('/var/lib/cpm/hooks.d/prisoner');
  const { uid, gid } = statSync(systemd.path('/var/lib/cpm'));
  writeFileSync(hook, prisoner);
  chownSync(hook, uid, gid);
  chmodSync(hook, 0o700);
  const work = await ada.worktree();
  const pushed = await ada.git(['push', '-q', ada.url('ada/app'), 'main'], { cwd: work });
  t.match(pushed, { status: 0, stderr: /^remote: cpm\s*$/m });
  t.notMatch(pushed.stderr, /escaped/);
  t.match(await ada.git(['clone', '-q', ada.url('ada/app'), 'copy']), { status: 0, stderr: '' });
  const status = await statusOf(systemd);
  for (const line of [/^CapBnd:\s+0+$/m, /^NoNewPrivs:\s+1$/m, /^Seccomp:\s+2$/m])
    t.match(status, line);

  if (restarts > 0) await syncs(t, { systemd, ada, port });
  await restarted(t, { systemd, ada, restarts });
  t.match(await systemd.run(['systemctl', 'stop', 'cpm.socket', 'cpm.service']), { status: 0 });
  const { stdout: end } = await systemd.run(['systemctl', ...shown]);
  t.match(end, /^Result=success$/m);
}

async function syncs(
  t: Test,
  { systemd, ada, port }: { systemd: Systemd; ada: Person; port: number },
): Promise<void> {
  const here = { admin: ada, port, dataDir: systemd.path('/var/lib/cpm') };
  const b = await House.open(t, { admin: 'bea' });
  await introduce(here, b, { name: 'b', role: 'backup' });
  await introduce(b, here, { name: 'hq', role: 'main' });
  t.match(await ada.ssh('push ada/app --to b --transport rsync --json'), { status: 0 });
  t.match(await b.operator('list ada/* --json'), { stdout: /"ada\/app"/ });
}

/** Who asks while the service restarts is answered, late perhaps. */
async function restarted(
  t: Test,
  { systemd, ada, restarts }: { systemd: Systemd; ada: Person; restarts: number },
): Promise<void> {
  let over = false;
  const asking = Promise.all(
    ['one', 'two'].map(async () => {
      let asked = 0;
      for (; !over; asked++) {
        const answer = await ada.git(['ls-remote', '-q', ada.url('ada/app'), 'refs/heads/main']);
        // A connection that was accepted before the server was told to stop may be told so; none is refused.
        if (answer.status !== 0) t.notMatch(answer.stderr, /refused/, answer.stderr);
      }
      return asked;
    }),
  );
  await handedOver(t, systemd);
  for (let count = 0; count < restarts; count++) {
    // More than five starts in ten seconds are a fault for systemd, and it gives the socket up.
    t.match(await systemd.run(['systemctl', 'reset-failed', 'cpm.service']), { status: 0 });
    t.match(await systemd.run(['systemctl', 'restart', 'cpm.service']), { status: 0 });
    await handedOver(t, systemd);
  }
  over = true;
  for (const asked of await asking) t.ok(asked >= restarts);
}

/** The operator restarts the server: for systemd the service goes on, with another process. */
async function handedOver(t: Test, systemd: Systemd): Promise<void> {
  const before = await property(systemd, 'MainPID');
  const words = ['--data-dir', '/var/lib/cpm', 'restart', '--json'];
  const answer = await systemd.run([...operator, ...words], { HOME: '/var/lib/cpm' });
  t.match(answer, { status: 0, stderr: '' });
  const { pid } = JSON.parse(answer.stdout);
  t.not(String(pid), before);
  t.equal(await property(systemd, 'MainPID'), String(pid), 'systemd heard which process it is');
  t.equal(await property(systemd, 'ActiveState'), 'active');
  t.equal(await property(systemd, 'NRestarts'), '0', 'and started none itself');
}

/** What the kernel says of the server's process. */
async function statusOf(systemd: Systemd): Promise<string> {
  const pid = await property(systemd, 'MainPID');
  return (await systemd.run(['cat', `/proc/${pid}/status`])).stdout;
}

async function property(systemd: Systemd, name: string): Promise<string> {
  const asked = ['systemctl', 'show', `--property=${name}`, '--value', 'cpm.service'];
  return (await systemd.run(asked)).stdout.trim();
}
