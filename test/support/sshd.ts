import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { generateKey } from './person.ts';
import { cleanEnv } from './process.ts';

/** This machine's own sshd, with a configuration of ours. */
export interface Sshd {
  readonly pid: number;
  readonly port: number;
  readonly user: string;
  /** The fingerprint of its host key. */
  readonly hostKey: string;
  stop(): Promise<void>;
}

/**
 * Starts an sshd on a free port of the loopback, with nothing of the machine's configuration.
 *
 * @param folder - for its host key and configuration
 * @param lines - more of sshd_config; its first line for a keyword counts
 * @param wrapper - words that run it somewhere else, in the same process
 * @throws with what it said, when it doesn't start
 */
export async function startSshd(
  folder: string,
  lines: readonly string[],
  wrapper: readonly string[] = [],
): Promise<Sshd> {
  mkdirSync(folder, { recursive: true });
  const hostKey = await generateKey(join(folder, 'host'));
  const port = await freePort();
  const config = join(folder, 'sshd_config');
  const all = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKey.privatePath}`,
    'AuthenticationMethods publickey',
    'PermitRootLogin prohibit-password',
    'StrictModes no',
    'PidFile none',
    'UsePAM no',
    'UseDNS no',
    'PrintMotd no',
    'MaxStartups 200',
    'Compression no',
    // The login shell would read the owner's start-up files, which may take longer than git.
    `SetEnv HOME=${folder}`,
    ...lines,
  ];
  writeFileSync(config, all.map((line) => `${line}\n`).join(''));
  // As root sshd wants the folder that the machine's service would have made at boot.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const words = [...wrapper, '/usr/sbin/sshd', '-D', '-e', '-f', config];
  return { ...(await listening(words)), port, hostKey: hostKey.fingerprint };
}

async function listening(words: readonly string[]): Promise<Omit<Sshd, 'port' | 'hostKey'>> {
  const [program = '', ...args] = words;
  const child = spawn(program, args, {
    env: cleanEnv(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = once(child, 'close');
  let said = '';
  const ready = new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-10_000);
      if (said.includes('Server listening on')) resolve();
    });
  });
  await Promise.race([ready, closed]);
  if (child.exitCode !== null || child.pid === undefined) {
    throw new Error(`sshd did not start\n${said}`);
  }
  const stop = async () => {
    child.kill('SIGTERM');
    await closed;
  };
  return { pid: child.pid, user: userInfo().username, stop };
}

/** sshd can't choose a port itself: one that was free a moment ago must do. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
