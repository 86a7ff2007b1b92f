import { appendFileSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyPair } from '../support/person.ts';
import { must } from '../support/process.ts';
import { type Sshd, startSshd } from '../support/sshd.ts';

/** gitolite behind this machine's own sshd. */
export interface Gitolite extends Sshd {
  /** Makes an empty repository in which everything is allowed. */
  create(repo: string, branch: string): Promise<void>;
  /** From now on its one branch is written by a refex of its own, and only moves forward. */
  rule(repo: string, branch: string): Promise<void>;
}

/** What gitolite calls the one person who asks. */
const who = 'bench';

/**
 * Sets gitolite up as its own guide says, with all that it has in one folder, and starts an sshd before it.
 *
 * @param folder - its home
 * @param algorithms - the one key exchange and the one cipher that sshd offers
 * @throws with what it said, when it can't be set up
 */
export async function startGitolite(
  folder: string,
  person: KeyPair,
  algorithms: { readonly kex: string; readonly cipher: string },
): Promise<Gitolite> {
  mkdirSync(folder, { recursive: true });
  const gitolite = (...words: string[]) =>
    must('gitolite', words, { cwd: folder, env: { HOME: folder } });
  const key = join(folder, `${who}.pub`);
  copyFileSync(person.publicPath, key);
  await gitolite('setup', '-pk', key);
  const sshd = await startSshd(folder, [
    `KexAlgorithms ${algorithms.kex}`,
    `Ciphers ${algorithms.cipher}`,
    `AuthorizedKeysFile ${join(folder, '.ssh/authorized_keys')}`,
    'AcceptEnv GIT_PROTOCOL',
  ]);
  const conf = join(folder, '.gitolite/conf/gitolite.conf');
  const compile = async () => {
    await gitolite('compile');
    await gitolite('trigger', 'POST_COMPILE');
  };
  const open = (repo: string) => `\nrepo ${repo}\n    RW+ = ${who}\n`;
  return {
    ...sshd,
    create: async (repo, branch) => {
      appendFileSync(conf, open(repo));
      await compile();
      const path = join(folder, 'repositories', `${repo}.git`);
      await must('git', ['-C', path, 'symbolic-ref', 'HEAD', `refs/heads/${branch}`]);
      // Housekeeping behind a push would be measured in whatever runs next.
      await must('git', ['-C', path, 'config', 'receive.autogc', 'false']);
    },
    rule: async (repo, branch) => {
      const ruled = `\nrepo ${repo}\n    RW ${branch}$ = ${who}\n`;
      writeFileSync(conf, readFileSync(conf, 'utf8').replace(open(repo), ruled));
      await compile();
    },
  };
}
