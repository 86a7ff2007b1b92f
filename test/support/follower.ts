import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import type { House } from './house.ts';
import { type Person, quoteWords, type Words } from './person.ts';
import { cleanEnv } from './process.ts';
import { findProgram } from './program.ts';

const patienceMs = 60_000;

/** How a follower ended, and when, by `performance.now()`. */
export interface FollowerEnd {
  readonly status: number;
  readonly stderr: string;
  readonly atMs: number;
}

/** A client that goes on reading what a command prints, line by line. */
export class Follower {
  /** What it has read so far, as JSON. */
  readonly lines: Record<string, unknown>[] = [];
  readonly ended: Promise<FollowerEnd>;
  readonly #child: ChildProcess;
  #stderr = '';
  #over = false;

  /** @param reads - whether it takes what it is sent; one that doesn't keeps the server waiting */
  constructor(
    t: { teardown(close: () => unknown): void },
    argv: readonly string[],
    { env = {}, reads = true }: { env?: Readonly<Record<string, string>>; reads?: boolean } = {},
  ) {
    const [program = '', ...args] = argv;
    const child = spawn(program, args, { env: cleanEnv(env), stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    if (reads) {
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.lines.push(JSON.parse(line));
        child.emit('news');
      });
    }
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = once(child, reads ? 'close' : 'exit').then(([code, signal]) => {
      this.#over = true;
      child.emit('news');
      const status = code ?? 128 + constants.signals[(signal ?? 'SIGKILL') as NodeJS.Signals];
      return { status, stderr: this.#stderr, atMs: performance.now() };
    });
    t.teardown(async () => {
      if (!this.#over) child.kill('SIGKILL');
      await this.ended;
    });
  }

  /** Over SSH. @param options - more for the ssh client */
  static ssh(
    t: { teardown(close: () => unknown): void },
    house: House,
    {
      person,
      words,
      ...how
    }: { person: Person; words: Words; options?: string[]; reads?: boolean },
  ): Follower {
    const target = [...(how.options ?? []), '-p', String(house.port), 'cpm@127.0.0.1'];
    const argv = ['ssh', ...person.sshOptions(), ...target, quoteWords(words)];
    return new Follower(t, argv, { env: { HOME: person.home }, reads: how.reads ?? true });
  }

  /** As the operator on the machine itself. */
  static local(
    t: { teardown(close: () => unknown): void },
    house: House,
    words: readonly string[],
  ): Follower {
    const env = { HOME: house.folder, CPM_DATA_DIR: house.dataDir };
    return new Follower(t, [...findProgram().command, ...words], { env });
  }

  /** Waits until a line like that was read. @throws when none comes, or the client ended */
  async reads(wanted: (line: Record<string, unknown>) => boolean): Promise<void> {
    const signal = AbortSignal.timeout(patienceMs);
    while (!this.lines.some(wanted)) {
      if (this.#over) throw new Error(`it ended: ${this.#stderr}`);
      await once(this.#child, 'news', { signal });
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
