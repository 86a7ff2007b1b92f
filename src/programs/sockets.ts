import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { collect } from './run.ts';

/** What `sockets.c` can do; a negative number is an errno. */
export interface Sockets {
  notify(address: string, text: string): number;
  duplicate(fd: number): number;
  acknowledge(fd: number): number;
  give(connection: number, ...fds: readonly number[]): number;
  take(path: string, first: Buffer): number | readonly number[];
}

/** The compiled part, which lies beside the program; undefined where there was no compiler. */
export function loadSockets(): Sockets | undefined {
  const path = join(dirname(realpathSync(process.argv[1] ?? '.')), 'cpm-sockets.node');
  if (!existsSync(path)) return undefined;
  const loaded = { exports: {} };
  process.dlopen(loaded, path);
  return loaded.exports as Sockets;
}

const notifyMs = 5000;

/**
 * Sends one datagram to a Unix socket by systemd's own program, where the compiled part is missing: a process for each.
 *
 * @param address - a path, or `@` and an abstract name
 * @throws Error when there is no such program, or nobody receives
 */
export async function notifyByProgram(address: string, lines: readonly string[]): Promise<void> {
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', NOTIFY_SOCKET: address };
  const argv = ['systemd-notify', '--', ...lines] as const;
  const { status, stderr } = await collect({ argv, cwd: '/', env }, { timeoutMs: notifyMs });
  if (status !== 0) throw new Error(`systemd-notify: ${stderr.trim()}`);
}
