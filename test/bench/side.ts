import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { House } from '../support/house.ts';
import { type KeyPair, type Person, quoteWords } from '../support/person.ts';
import { must } from '../support/process.ts';
import type { Sshd } from '../support/sshd.ts';
import { startGitolite } from './gitolite.ts';
import { startGitShell } from './sshd.ts';

/** One of the two servers under comparison. */
export interface Side {
  readonly name: 'cpm' | Against;
  readonly pid: number;
  /** What /proc calls its processes. */
  readonly process: string;
  readonly port: number;
  readonly user: string;
  /** Makes an empty repository. @param repo - a name */
  create(repo: string): Promise<void>;
  /**
   * Rules the branch `bench`: by a hook that says the same where git-shell serves, by a refex where gitolite does.
   *
   * @param what - it only moves forward, or takes signed commits alone
   */
  rule(repo: string, what: Ruled): Promise<void>;
  url(repo: string): string;
  /** Runs the git client against this side. @returns its stdout. @throws when it fails */
  git(args: readonly string[], cwd?: string): Promise<string>;
  /** The ssh client's words up to the command. */
  readonly ssh: readonly string[];
}

export type Ruled = 'forward' | 'signed';

/** What cpm is compared with: sshd with git-shell, or with gitolite. */
export type Against = 'sshd' | 'gitolite';

const flags = { forward: ['--deny', 'force,delete'], signed: ['--require', 'signed'] };

export const algorithms = { kex: 'curve25519-sha256', cipher: 'aes128-gcm@openssh.com' };

/** Where both servers live, and who ends them. */
export interface Sides {
  readonly cpm: Side;
  readonly other: Side;
  /** The rules that both can have. */
  readonly rules: readonly Ruled[];
  readonly folder: string;
  /** Of the one person who asks. */
  readonly key: KeyPair;
}

/**
 * Starts both servers, each for the same person with the same key.
 *
 * @param closing - takes what ends them again
 * @param how - `branch`: the default branch of repositories that `create` makes
 */
export async function startSides(
  closing: { teardown(close: () => unknown): void },
  { branch, against }: { branch: string; against: Against },
): Promise<Sides> {
  const house = await House.open(closing);
  const { admin, folder } = house;
  const common = (user: string, port: number) => ({ user, port, ...client(admin, user, port) });
  return {
    folder,
    key: admin.key,
    cpm: {
      name: 'cpm',
      pid: house.pid,
      process: 'node',
      ...common('cpm', house.port),
      url: (repo) => `ssh://cpm@127.0.0.1:${house.port}/${admin.name}/${repo}`,
      create: async (repo) => {
        const words = ['init', `${admin.name}/${repo}`, '--default-branch', branch];
        const answer = await house.operator(words);
        if (answer.status !== 0) throw new Error(answer.stderr);
      },
      rule: async (repo, what) => {
        const words = ['repo', 'rules', 'add', `${admin.name}/${repo}`, 'bench', ...flags[what]];
        const answer = await house.operator(words);
        if (answer.status !== 0) throw new Error(answer.stderr);
      },
    },
    other: await start[against](closing, { folder, person: admin, branch }),
    rules: against === 'sshd' ? ['forward', 'signed'] : ['forward'],
  };
}

interface Place {
  readonly folder: string;
  readonly person: Person;
  readonly branch: string;
}

type Start = (closing: { teardown(close: () => unknown): void }, place: Place) => Promise<Side>;

const start: Readonly<Record<Against, Start>> = {
  sshd: async (closing, { folder, person, branch }) => {
    const sshd = await startGitShell(join(folder, 'sshd'), person.key, algorithms);
    closing.teardown(sshd.stop);
    const plain = (repo: string) => join(folder, 'plain', `${repo}.git`);
    return {
      name: 'sshd',
      ...served(sshd, person),
      url: (repo) => `ssh://${sshd.user}@127.0.0.1:${sshd.port}${plain(repo)}`,
      create: async (repo) => {
        await must('git', ['init', '-q', '--bare', '-b', branch, plain(repo)]);
        // Housekeeping behind a push would be measured in whatever runs next.
        await must('git', ['-C', plain(repo), 'config', 'receive.autogc', 'false']);
      },
      rule: async (repo, what) => {
        const signers = join(folder, 'signers');
        writeFileSync(signers, `bench@example.org ${person.key.line}\n`);
        await must('git', ['-C', plain(repo), 'config', 'gpg.ssh.allowedSignersFile', signers]);
        const hook = join(plain(repo), 'hooks', 'update');
        writeFileSync(hook, `#!/bin/sh\n[ "$1" = refs/heads/bench ] || exit 0\n${hooks[what]}\n`);
        chmodSync(hook, 0o755);
      },
    };
  },
  gitolite: async (closing, { folder, person, branch }) => {
    const gitolite = await startGitolite(join(folder, 'gitolite'), person.key, algorithms);
    closing.teardown(gitolite.stop);
    return {
      name: 'gitolite',
      ...served(gitolite, person),
      url: (repo) => `ssh://${gitolite.user}@127.0.0.1:${gitolite.port}/${repo}`,
      create: (repo) => gitolite.create(repo, branch),
      rule: (repo) => gitolite.rule(repo, 'bench'),
    };
  },
};

function served({ pid, port, user }: Sshd, person: Person) {
  return { pid, process: 'sshd', user, port, ...client(person, user, port) };
}

/** What an operator of git-shell would write: `$2` and `$3` are the old and the new value. */
const hooks = {
  forward:
    'case $2 in 0000*) exit 0;; esac; case $3 in 0000*) exit 1;; esac\nexec git merge-base --is-ancestor "$2" "$3"',
  signed:
    'for oid in $(git rev-list "$3" --not --all); do git verify-commit "$oid" 2>&- || exit 1; done',
};

function client(person: Person, user: string, port: number): Pick<Side, 'git' | 'ssh'> {
  const pinned = [`KexAlgorithms=${algorithms.kex}`, `Ciphers=${algorithms.cipher}`];
  const ssh = ['ssh', ...person.sshOptions(), ...pinned.flatMap((setting) => ['-o', setting])];
  return {
    ssh: [...ssh, '-p', String(port), `${user}@127.0.0.1`],
    git: async (args, cwd = person.home) => {
      const env = { ...person.gitEnv(), GIT_SSH_COMMAND: quoteWords(ssh) };
      return (await must('git', args, { cwd, env })).stdout;
    },
  };
}
