import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyPair } from '../support/person.ts';
import { type Sshd, startSshd } from '../support/sshd.ts';

const gitShell = 'git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"';

/**
 * Starts this machine's own sshd with git-shell behind it, for one person's key.
 *
 * @param folder - for its host key and configuration
 * @param algorithms - the one key exchange and the one cipher that it offers
 * @param command - what the key runs, whatever is asked for; empty for anything
 * @throws with what it said, when it doesn't start
 */
export async function startGitShell(
  folder: string,
  person: KeyPair,
  algorithms: { readonly kex: string; readonly cipher: string },
  command = gitShell,
): Promise<Sshd> {
  return startSshd(folder, [
    `KexAlgorithms ${algorithms.kex}`,
    `Ciphers ${algorithms.cipher}`,
    ...keyLines(folder, person, command),
  ]);
}

/** The lines of sshd_config that let one person in. @param folder - for the file of keys */
export function keyLines(folder: string, person: KeyPair, command = gitShell): readonly string[] {
  mkdirSync(folder, { recursive: true });
  const keys = join(folder, 'authorized_keys');
  const bound = command === '' ? 'restrict' : `restrict,command="${command}"`;
  writeFileSync(keys, `${bound} ${person.line}\n`);
  return [`AuthorizedKeysFile ${keys}`, 'AcceptEnv GIT_PROTOCOL'];
}
