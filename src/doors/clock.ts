import { randomUUID } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import type { Core } from '../core/core.ts';
import type { Log } from '../log.ts';
import type { Run } from '../shell/request.ts';

/** How often the clock looks for repositories that need packing, and for what has been kept for long enough. */
const packMs = 10_000;
const expireMs = 3_600_000;

/** The hours of a server: what is due becomes a request by the operator, recorded as any other; nothing due, no record. */
export class Clock {
  readonly #core: Core;
  readonly #run: Run;
  readonly #log: Log;
  readonly #stopped = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  #work: Promise<void> = Promise.resolve();
  #busy = false;

  constructor(core: Core, run: Run, log: Log) {
    this.#core = core;
    this.#run = run;
    this.#log = log;
  }

  start(): void {
    this.#next(() => this.#expire());
    this.#timers.push(
      setInterval(() => this.#tick(), packMs).unref(),
      setInterval(() => this.#next(() => this.#expire()), expireMs).unref(),
    );
  }

  /** Ends what runs. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopped.abort();
    await this.#work;
  }

  /** A tick that comes while the last one's work goes on is left out. */
  #tick(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#next(async () => {
      for (const name of await this.#core.housekeeping.due()) {
        await this.#ask(['repo', 'maintain', name]);
      }
    });
    void this.#work.finally(() => {
      this.#busy = false;
    });
  }

  async #expire(): Promise<void> {
    const { store, config, housekeeping } = this.#core;
    const keepMs = config.values['trash.keep'];
    const after = { deletedAt: '', id: '' };
    const [oldest] = await store.trash.page({ kind: 'all' }, { after, limit: 1 });
    if (oldest !== undefined && Date.parse(oldest.deletedAt) < Date.now() - keepMs) {
      const older = `${Math.floor(keepMs / 1000)}s`;
      await this.#ask(['repo', 'trash', 'empty', '--older', older, '--yes']);
    }
    for (const name of await housekeeping.expiring()) await this.#ask(['repo', 'maintain', name]);
  }

  async #ask(words: readonly string[]): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const nowhere = () => new PassThrough().resume();
    await this.#run({
      id: randomUUID(),
      door: 'clock',
      principal: { kind: 'operator' },
      address: undefined,
      words,
      gitProtocol: undefined,
      stdio: { stdin: Readable.from([]), stdout: nowhere(), stderr: nowhere() },
      signal: this.#stopped.signal,
      terminal: undefined,
      directory: undefined,
    });
  }

  #next(work: () => Promise<void>): void {
    this.#work = this.#work
      .then(() => (this.#stopped.signal.aborted ? undefined : work()))
      .catch((error) => this.#log.error({ err: error }, 'what was due is not done'));
  }
}
