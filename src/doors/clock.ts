import { randomUUID } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import type { Log } from '../log.ts';
import type { Run } from '../shell/request.ts';
import type { Job, Words } from './jobs.ts';

/** As long as a timer of Node can wait. */
const longestMs = 2 ** 31 - 1;

/** The hours of a server: what is due becomes a request by the operator, recorded as any other. */
export class Clock {
  readonly #hands: readonly Hand[];

  constructor(jobs: readonly Job[], run: Run, log: Log) {
    this.#hands = jobs.map((job) => new Hand(job, run, log));
  }

  start(): void {
    for (const hand of this.#hands) hand.start();
  }

  /** Ends what runs. */
  async stop(): Promise<void> {
    await Promise.all(this.#hands.map((hand) => hand.stop()));
  }
}

/** One job's hours: one that takes long keeps no other from its own. */
class Hand {
  readonly #job: Job;
  readonly #run: Run;
  readonly #log: Log;
  readonly #stopped = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Words>();
  #timer: NodeJS.Timeout | undefined;
  #deaf: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  #again = false;

  constructor(job: Job, run: Run, log: Log) {
    this.#job = job;
    this.#run = run;
    this.#log = log;
  }

  start(): void {
    this.#deaf = this.#job.onNews?.(() => this.#look());
    if (this.#job.atStart) this.#look();
    this.#wait();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#deaf?.();
    this.#stopped.abort();
    this.#waiting.clear();
    await this.#looking;
    await Promise.all(this.#running.values());
  }

  #wait(): void {
    this.#timer = setTimeout(
      () => {
        this.#look();
        this.#wait();
      },
      Math.min(this.#job.everyMs(), longestMs),
    ).unref();
  }

  #look(): void {
    if (this.#stopped.signal.aborted) return;
    this.#again = this.#looking !== undefined;
    if (this.#again) return;
    this.#looking = this.#job
      .due()
      .then((due) => {
        for (const words of due) this.#waiting.set(words.join('\0'), words);
      })
      .catch((error) => this.#log.error({ err: error, job: this.#job.name }, 'what is due?'))
      .finally(() => {
        this.#looking = undefined;
        this.#next();
        if (this.#again) this.#look();
      });
  }

  /** Starts what waits, as much as may run; what runs already is left out. */
  #next(): void {
    if (this.#stopped.signal.aborted) return;
    const atOnce = this.#job.atOnce?.() ?? 1;
    for (const [key, words] of this.#waiting) {
      if (this.#running.size >= atOnce) return;
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      const done = this.#ask(words).finally(() => {
        this.#running.delete(key);
        this.#next();
      });
      this.#running.set(key, done);
    }
  }

  async #ask(words: Words): Promise<void> {
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
}
