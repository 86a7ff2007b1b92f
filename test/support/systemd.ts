import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { type Answer, cleanEnv, run } from './process.ts';

/** Where the program under test is in there, and Node, which may lie in a home out here. */
export const program = '/opt/cpm';
export const node = '/opt/node';

const startMs = 60_000;

/**
 * What is made before systemd takes over: everything that it or cpm would write to is in memory and gone with it, and
 * nothing that this machine starts at boot is started. `$1` is the checkout, `$2` a folder of the
 * test's, `$3` Node.
 */
const furnish = `set -e
mount --make-rprivate /
mount -t proc proc /proc
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /opt
mkdir -p /run/etc /run/work /run/test /opt/cpm
: > /opt/node
mount --bind "$3" /opt/node
mount --bind "$1" /opt/cpm
mount --bind "$2" /run/test
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
rm -rf /etc/systemd/system
mkdir /etc/systemd/system
: > /etc/fstab
for target in sysinit sockets local-fs timers; do
  [ ! -d /usr/lib/systemd/system/$target.target.wants ] || mount -t tmpfs tmpfs /usr/lib/systemd/system/$target.target.wants
done
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /tmp
printf '[Unit]\\nDefaultDependencies=no\\n' > /etc/systemd/system/bare.target
exec env -i container=cpm-test PATH="$PATH" /lib/systemd/systemd --unit=bare.target --log-target=null --show-status=no
`;

/** A real systemd that runs in namespaces of its own, with the files and the network of this machine. */
export class Systemd {
  /** Its process id out here. */
  readonly pid: number;

  private constructor(pid: number) {
    this.pid = pid;
  }

  /**
   * Starts one, which ends with the test.
   *
   * @param folder - of the test's: it is /run/test in there
   * @returns undefined where this account or machine can't: it takes root, namespaces and control groups
   */
  static async open(
    t: { teardown(close: () => unknown): void },
    { checkout, folder }: { checkout: string; folder: string },
  ): Promise<Systemd | undefined> {
    if (process.getuid?.() !== 0) return undefined;
    const flags = ['--mount', '--pid', '--cgroup', '--fork', '--kill-child=SIGKILL'];
    const child = spawn(
      'unshare',
      [...flags, 'sh', '-c', furnish, 'sh', checkout, folder, process.execPath],
      {
        env: cleanEnv(),
        stdio: 'ignore',
      },
    );
    const closed = once(child, 'close');
    t.teardown(async () => {
      child.kill('SIGKILL');
      await closed;
    });
    const signal = AbortSignal.timeout(startMs);
    for (;;) {
      if (child.exitCode !== null) return undefined;
      signal.throwIfAborted();
      const [pid] = childrenOf(child.pid ?? 0);
      if (pid !== undefined && isServing(pid)) return new Systemd(pid);
      await wait(20);
    }
  }

  /** Runs a program in there, as root. */
  run(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const into = ['--target', String(this.pid), '--mount', '--pid', '--cgroup', '--'];
    return run('nsenter', [...into, ...words], { env: { HOME: '/root', ...env } });
  }

  /** A path of its, as it is seen from out here. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }
}

function childrenOf(pid: number): readonly number[] {
  try {
    const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return pids === '' ? [] : pids.split(' ').map(Number);
  } catch {
    return [];
  }
}

/** Whether systemctl reaches it by now. */
function isServing(pid: number): boolean {
  return existsSync(`/proc/${pid}/root/run/systemd/private`);
}
