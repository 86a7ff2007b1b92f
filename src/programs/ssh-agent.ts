import { collect } from './run.ts';

/** The public key lines that the ssh agent behind a socket holds; none where it does not answer. */
export async function agentKeys(socket: string): Promise<readonly string[]> {
  const env = { PATH: '/usr/bin:/bin', SSH_AUTH_SOCK: socket };
  const { status, stdout } = await collect({ argv: ['ssh-add', '-L'], cwd: '/', env });
  if (status !== 0) return [];
  return String(stdout)
    .split('\n')
    .filter((line) => line !== '');
}
