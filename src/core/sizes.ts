import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { RepositorySizes } from '../programs/repository-sizes.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';

const settleMs = 500;

/**
 * Measures repositories on disk after pushes: behind them, one at a time, and once for any number of pushes in a row,
 * so that no push waits for a walk over its repository.
 */
export class Sizes {
  readonly #store: Store;
  readonly #log: Log;
  readonly #measured = new RepositorySizes();
  readonly #waiting = new Map<string, string>();
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** @param directory - of the repository's files */
  changed(repo: Pick<Repository, 'id'>, directory: string): void {
    this.#waiting.set(repo.id, directory);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, settleMs);
  }

  /** Measures what waits now. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running = (this.#running ?? Promise.resolve()).then(() => this.#measure());
    await this.#running;
  }

  /** As `flush`, but for whoever can't wait longer than this: what is not measured by then is, behind them. */
  async flushWithin(mostMs: number): Promise<void> {
    await Promise.race([this.flush(), delay(mostMs, undefined, { ref: false })]);
  }

  async #measure(): Promise<void> {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [id, directory] of waiting) {
      try {
        await this.#store.repositories.measured(id, await this.#measured.measure(directory));
      } catch (error) {
        this.#log.error({ err: error, repo: id }, 'size not measured');
      }
    }
  }
}
