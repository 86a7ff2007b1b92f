import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Answer, must, run, type Surroundings } from './process.ts';

/** A command as one string that a shell would split, or as words. */
export type Words = string | readonly string[];

/** An SSH key pair in two files, as ssh-keygen wrote them. */
export interface KeyPair {
  readonly privatePath: string;
  readonly publicPath: string;
  /** The line of the public file, without its newline. */
  readonly line: string;
  /** `SHA256:…` */
  readonly fingerprint: string;
}

/** Makes a key pair with ssh-keygen. @param path - of the private file */
export async function generateKey(
  path: string,
  type: 'ed25519' | 'ecdsa' | 'rsa' = 'ed25519',
): Promise<KeyPair> {
  await must('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'test', '-f', path]);
  const line = readFileSync(`${path}.pub`, 'utf8').trim();
  // As `ssh-keygen -l` has it, without another process for each key.
  const blob = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  const sum = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  return {
    privatePath: path,
    publicPath: `${path}.pub`,
    line,
    fingerprint: `SHA256:${sum}`,
  };
}

/** The same words as one string, which a POSIX shell, and cpm's door, splits into them again. */
export function quoteWords(words: Words): string {
  if (typeof words === 'string') return words;
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
}

/** Somebody with a home, a key, and the real OpenSSH and git clients. */
export class Person {
  readonly name: string;
  readonly home: string;
  readonly key: KeyPair;
  readonly #port: () => number;
  /** The name that is signed in with. */
  readonly #user: string;
  readonly #shares: boolean;

  private constructor(
    name: string,
    home: string,
    key: KeyPair,
    { port, user, shares }: { port: () => number; user: string; shares: boolean },
  ) {
    this.name = name;
    this.home = home;
    this.key = key;
    this.#port = port;
    this.#user = user;
    this.#shares = shares;
  }

  /**
   * @param port - where the server listens now; asked anew for each connection
   * @param shares - whether commands share one connection, and git's too; it ends with the server
   */
  static async create(
    name: string,
    home: string,
    { port, shares = false }: { port: () => number; shares?: boolean },
  ): Promise<Person> {
    mkdirSync(home, { recursive: true });
    const key = await generateKey(join(home, 'key'));
    return new Person(name, home, key, { port, user: 'cpm', shares });
  }

  /** The same person, at another server. @param user - the name to sign in with there */
  at(house: { readonly port: number }, user = 'cpm'): Person {
    return new Person(this.name, this.home, this.key, {
      port: () => house.port,
      user,
      shares: this.#shares,
    });
  }

  /** The ssh client's options: this person's key and nothing of the machine's own set-up. */
  sshOptions(): string[] {
    const settings = [
      'BatchMode=yes',
      'GlobalKnownHostsFile=/dev/null',
      'IdentitiesOnly=yes',
      'IdentityAgent=none',
      'LogLevel=ERROR',
      'PreferredAuthentications=publickey',
      'StrictHostKeyChecking=no',
      `UserKnownHostsFile=${join(this.home, 'known_hosts')}`,
    ];
    return ['-F', 'none', '-i', this.key.privatePath, ...settings.flatMap((set) => ['-o', set])];
  }

  /** The ssh client's words up to the command. @param options - more for it */
  sshWords(options: readonly string[] = []): string[] {
    const target = ['-p', String(this.#port()), `${this.#user}@127.0.0.1`];
    return [...this.sshOptions(), ...options, ...target];
  }

  /** For one connection, to each port: every command is an exec of its own on it. */
  #sharing(): string[] {
    if (!this.#shares) return [];
    const path = `ControlPath=${join(this.home, 'cm-%p')}`;
    return ['ControlMaster=auto', path, 'ControlPersist=60'].flatMap((set) => ['-o', set]);
  }

  /** Runs a command on the server as this person. @param options - more for the ssh client, `['-v']` */
  ssh(
    words: Words,
    { options = [], ...surroundings }: Surroundings & { options?: readonly string[] } = {},
  ): Promise<Answer> {
    const command = words.length === 0 ? [] : [quoteWords(words)];
    const args = [...this.sshWords(options.length === 0 ? this.#sharing() : options), ...command];
    return run('ssh', args, { ...surroundings, env: { HOME: this.home, ...surroundings.env } });
  }

  /** The environment of this person's git: own name, own ssh, none of the machine's settings. */
  gitEnv(): Record<string, string> {
    return {
      HOME: this.home,
      GIT_AUTHOR_EMAIL: `${this.name}@example.org`,
      GIT_AUTHOR_NAME: this.name,
      GIT_COMMITTER_EMAIL: `${this.name}@example.org`,
      GIT_COMMITTER_NAME: this.name,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_CONFIG_KEY_0: 'init.defaultBranch',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_VALUE_0: 'main',
      GIT_SSH_COMMAND: quoteWords(['ssh', ...this.sshOptions(), ...this.#sharing()]),
      GIT_TERMINAL_PROMPT: '0',
    };
  }

  /** Runs git as this person, at home unless `cwd` says otherwise. @param words - a string is split at blanks */
  git(words: Words, surroundings: Surroundings = {}): Promise<Answer> {
    const args = typeof words === 'string' ? words.split(' ') : words;
    return run('git', args, {
      ...surroundings,
      cwd: surroundings.cwd ?? this.home,
      env: { ...this.gitEnv(), ...surroundings.env },
    });
  }

  /** Where this person reaches a repository. @param repo - `acme/app` */
  url(repo: string): string {
    return `ssh://${this.#user}@127.0.0.1:${this.#port()}/${repo}`;
  }

  /** A new work tree at home with one commit on main. @returns its path */
  async worktree(name = 'work'): Promise<string> {
    const path = join(this.home, name);
    const env = this.gitEnv();
    await must('git', ['init', '-q', path], { env });
    await must('git', ['commit', '-q', '--allow-empty', '-m', 'first'], { cwd: path, env });
    return path;
  }
}
