import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askLocally } from './local.ts';
import { Person, type Words } from './person.ts';
import { type Answer, cleanEnv, run, type Surroundings } from './process.ts';
import { findProgram } from './program.ts';

/** What a scenario may want otherwise than a fresh machine has it. */
export interface HouseOptions {
  /** Text of a configuration file. */
  readonly config?: string;
  /** More for the environment of the server and of `operator`. */
  readonly env?: Readonly<Record<string, string>>;
  /** The first site admin's name. */
  readonly admin?: string;
  /** Whether it syncs by itself with servers that it knows; else only what a scenario says is carried. */
  readonly syncs?: boolean;
  /** Whether each person has one connection for all commands: half the work, where no sign-in is looked at. */
  readonly shares?: boolean;
  /** Makes of the words that start the server others, which start it in other surroundings. */
  readonly starts?: (words: readonly string[]) => readonly string[];
}

const startMs = 60_000;
const stopMs = 40_000;

/** A real server process with a data directory, people and an operator; everything is gone when the test ends. */
export class House {
  /** A short path, for sockets in it must fit in 108 bytes. */
  readonly folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  readonly dataDir = join(this.folder, 'data');
  /** Set by `open`, before anybody has the house. */
  admin!: Person;
  port = 0;
  /** What the server wrote since its last start. */
  stdout = '';
  stderr = '';
  readonly #program = findProgram();
  readonly #env: Readonly<Record<string, string>>;
  readonly #shares: boolean;
  readonly #server: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(options: HouseOptions) {
    const { config, env, syncs = false, shares = false, starts = (words) => words } = options;
    this.#shares = shares;
    this.#server = starts(this.#program.server);
    const home = join(this.folder, 'home');
    const file = join(this.folder, 'config.yaml');
    mkdirSync(home);
    if (config !== undefined) writeFileSync(file, config);
    this.#env = {
      HOME: home,
      CPM_DATA_DIR: this.dataDir,
      ...(config !== undefined && { CPM_CONFIG: file }),
      MALLOC_ARENA_MAX: '1',
      ...(!syncs && { CPM_SYNC__CONCURRENCY: '0' }),
      ...env,
    };
  }

  /** A running house, its admin signed up at the first start. @throws with the server's words when it doesn't start */
  static async open(t: { teardown(close: () => unknown): void }, options: HouseOptions = {}) {
    const house = new House(options);
    t.teardown(() => house.#close());
    const name = options.admin ?? 'ada';
    house.admin = await house.stranger(name);
    await house.#start({ CPM_ADMIN: name, CPM_ADMIN_KEY: house.admin.key.publicPath });
    return house;
  }

  /** The process id of the server, another one after `cpm restart`. @throws when none runs */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the server is not running');
    const file = join(this.dataDir, 'run', 'pid');
    return existsSync(file) ? Number(readFileSync(file, 'utf8')) : this.#child.pid;
  }

  /** Somebody with a key of their own whom the operator has added as a user. */
  async person(name: string, { admin = false } = {}): Promise<Person> {
    const person = await this.stranger(name);
    const words = ['user', 'add', name, '--key', person.key.publicPath];
    const answer = await this.operator(admin ? [...words, '--admin'] : words);
    if (answer.status !== 0) throw new Error(`user add ${name}: ${answer.stderr}`);
    return person;
  }

  /** Somebody with a key that the server has never seen. */
  stranger(name: string): Promise<Person> {
    const port = () => this.port;
    return Person.create(name, join(this.folder, name), { port, shares: this.#shares });
  }

  /** Asks the server on the machine itself; `command` where none runs. @param words - a string is split at blanks */
  async operator(words: Words, surroundings: Omit<Surroundings, 'env'> = {}): Promise<Answer> {
    const here = { cwd: this.folder, ...surroundings };
    const listens = this.#child !== undefined;
    const answer = listens && (await askLocally(this.dataDir, split(words), here));
    return answer || this.command(words, surroundings);
  }

  /** Runs the program `cpm` itself, on the machine and on this data directory. @see operator */
  command(words: Words, surroundings: Surroundings = {}): Promise<Answer> {
    const [program, ...args] = this.#program.command;
    const env = { ...this.#env, ...surroundings.env };
    return run(program, [...args, ...split(words)], { cwd: this.folder, ...surroundings, env });
  }

  /** Waits for text in the server's log. @throws with the log when the server ends before, or after 60 s */
  async says(text: RegExp): Promise<void> {
    const signal = AbortSignal.timeout(startMs);
    while (!text.test(this.stderr)) {
      if (!this.#child) throw new Error(`the server ended\n${this.stderr}`);
      await once(this.#child, 'said', { signal });
    }
  }

  /** Asks the server to end. @throws when it ends otherwise than with status 0 */
  async stop(signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): Promise<void> {
    const status = await this.#end(signal);
    if (status !== 0) throw new Error(`the server ended with ${status}\n${this.stderr}`);
  }

  /** The server dies as in a crash. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Starts it again, on the same port, stopping it first where it runs. */
  async restart(): Promise<void> {
    if (this.#child) await this.stop();
    await this.#start({});
  }

  async #start(env: Readonly<Record<string, string>>): Promise<void> {
    const [program = '', ...args] = this.#server;
    const child = spawn(program, [...args, 'serve', '--listen', `127.0.0.1:${this.port}`], {
      cwd: this.folder,
      env: cleanEnv({ ...this.#env, ...env }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.stdout = '';
    this.stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      child.emit('said');
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      child.emit('said');
    });
    child.once('close', () => {
      this.#child = undefined;
      child.emit('said');
    });
    await this.#listening(child);
  }

  async #listening(child: ChildProcess): Promise<void> {
    const signal = AbortSignal.timeout(startMs);
    for (;;) {
      const port = /^listening on ssh:\/\/127\.0\.0\.1:(\d+)$/m.exec(this.stdout)?.[1];
      if (port !== undefined) {
        this.port = Number(port);
        return;
      }
      if (!this.#child) throw new Error(`the server did not start\n${this.stdout}${this.stderr}`);
      await once(child, 'said', { signal });
    }
  }

  /** @returns the exit status, or the name of the signal that ended the server */
  async #end(how: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | string> {
    const child = this.#child;
    if (!child) throw new Error('the server is not running');
    const closed = once(child, 'close', { signal: AbortSignal.timeout(stopMs) });
    killIfThere(this.pid, how);
    const [code, signal] = await closed;
    return code ?? signal;
  }

  async #close(): Promise<void> {
    try {
      if (this.#child) await this.#end('SIGTERM');
    } finally {
      if (this.#child) killIfThere(this.pid, 'SIGKILL');
      this.#child?.kill('SIGKILL');
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

function split(words: Words): readonly string[] {
  return typeof words === 'string' ? words.split(' ').filter((word) => word) : words;
}

/** One that has died by itself is none to be killed; its end is still to be heard of. */
function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A way in, for scenarios that must come out the same through each. */
export interface Entrance {
  readonly name: string;
  run(words: readonly string[], surroundings?: Surroundings): Promise<Answer>;
}

/**
 * Every door to a house, each opened by somebody who may do all that a site admin may. On the machine the first question
 * of each command is asked by the program itself, and what follows as the program asks it.
 */
export function doors(house: House): Entrance[] {
  const asked = new Set<string>();
  return [
    { name: 'ssh', run: (words, surroundings) => house.admin.ssh(words, surroundings) },
    {
      name: 'local',
      run: (words, { env, ...surroundings } = {}) => {
        const command = words
          .filter((word) => /^[a-z]+$/.test(word))
          .slice(0, 2)
          .join(' ');
        if (env === undefined && asked.has(command)) return house.operator(words, surroundings);
        asked.add(command);
        return house.command(words, { env, ...surroundings });
      },
    },
  ];
}
