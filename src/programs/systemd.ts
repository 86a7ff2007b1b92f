import { existsSync } from 'node:fs';
import { UserError } from '../model/errors.ts';
import { collect } from './run.ts';

/** An account of this machine. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The programs of administration lie where a plain account's PATH doesn't look. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Looks an account up, wherever the machine has its accounts from.
 *
 * @param who - a name, or a number
 */
export async function findAccount(who: string | number): Promise<Account | undefined> {
  const { status, stdout } = await act(['getent', 'passwd', String(who)]);
  const [name, , uid, gid] = String(stdout).split(':');
  if (status !== 0 || name === undefined) return undefined;
  return { name, uid: Number(uid), gid: Number(gid) };
}

/** Whether systemd runs this machine, or this account's session. @see sd_booted(3) */
export function isSystemdThere(ofUser: boolean): boolean {
  return existsSync(ofUser ? `${runtimeDir()}/systemd` : '/run/systemd/system');
}

/** Runs a program of administration. Its words are never a client's. */
export function act(argv: readonly [string, ...string[]]) {
  return collect({ argv, cwd: '/', env: { PATH: path, XDG_RUNTIME_DIR: runtimeDir() } });
}

/** @throws UserError `unavailable` with what it said, when it fails */
export async function mustAct(argv: readonly [string, ...string[]], hint: string): Promise<void> {
  const { status, signal, stderr } = await act(argv).catch((cause: Error) => {
    throw new UserError('unavailable', `${argv[0]} can't be started`, { hint, cause });
  });
  if (status === 0) return;
  const [said = `it ended with ${status ?? signal}`] = stderr.split('\n').filter((line) => line);
  throw new UserError('unavailable', `${argv.slice(0, 2).join(' ')}: ${said}`, { hint });
}

function runtimeDir(): string {
  return `/run/user/${process.getuid?.()}`;
}
