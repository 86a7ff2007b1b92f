import { spawn } from 'node:child_process';
import { UserError } from '../model/errors.ts';

/** What a process that was started apart says once it is ready, or why it never will be. */
export type ApartSays =
  | { readonly ready: true }
  | { readonly message: string; readonly hint?: string };

/**
 * Starts a process of cpm that outlives this one, and waits until it says that it is ready.
 *
 * @param env - the whole environment but PATH
 * @throws UserError `unavailable` when it can't do what it is started for
 */
export async function startApart(
  [program = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const child = spawn(program, args, {
    cwd: '/',
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', ...env },
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const says = await new Promise<ApartSays>((resolve, reject) => {
    child.once('error', reject);
    child.once('message', (said) => resolve(said as ApartSays));
    child.once('exit', (status) => resolve({ message: `it ended with status ${status}` }));
  });
  if (child.connected) child.disconnect();
  child.unref();
  if ('ready' in says) return;
  const { message, ...more } = says;
  throw new UserError('unavailable', `no server runs, and none could stand in: ${message}`, more);
}
