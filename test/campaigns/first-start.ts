import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Person } from '../support/person.ts';
import { type Answer, cleanEnv } from '../support/process.ts';
import { findProgram } from '../support/program.ts';

/** A server in a folder of its own whose first start may be cut off and begun again. */
export class FirstStart {
  readonly #folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  readonly dataDir = join(this.#folder, 'data');
  /** What it wrote since it was last started. */
  said = '';
  readonly #admin: Person;
  #child: ChildProcess | undefined;

  constructor(t: Test, admin: Person) {
    this.#admin = admin;
    t.teardown(() => {
      this.#signal('SIGKILL');
      rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  get port(): number {
    return Number(/^listening on ssh:\/\/127\.0\.0\.1:(\d+)$/m.exec(this.said)?.[1]);
  }

  /**
   * @param wrapper - words before the server's own
   * @returns whether it listens; false when it ended before
   */
  async start(wrapper: readonly string[]): Promise<boolean> {
    const words = [...wrapper, ...findProgram().server, 'serve', '--listen', '127.0.0.1:0'];
    const [program = '', ...args] = words;
    const child = spawn(program, args, {
      cwd: this.#folder,
      env: cleanEnv({
        HOME: this.#folder,
        CPM_DATA_DIR: this.dataDir,
        CPM_ADMIN: this.#admin.name,
        CPM_ADMIN_KEY: this.#admin.key.publicPath,
        // One thread does all file operations, so that "the third" is the same one each time.
        UV_THREADPOOL_SIZE: '1',
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.said = '';
    const closed = once(child, 'close');
    const listens = new Promise<boolean>((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          this.said += text;
          if (Number.isInteger(this.port)) resolve(true);
        });
      }
    });
    return Promise.race([listens, closed.then(() => false)]);
  }

  /** Signs in as the admin that the first start made. */
  greet(): Promise<Answer> {
    return this.#admin.ssh('whoami', { options: ['-p', String(this.port)] });
  }

  async stop(): Promise<void> {
    if (this.#child === undefined) return;
    const closed = once(this.#child, 'close');
    this.#signal('SIGTERM');
    await closed;
  }

  /** Under a wrapper the server is not our own child: its file tells its number. */
  #signal(signal: NodeJS.Signals): void {
    const isRunning = this.#child?.exitCode === null && this.#child.signalCode === null;
    if (!isRunning) return;
    process.kill(Number(readFileSync(join(this.dataDir, 'run/pid'), 'utf8')), signal);
  }
}
