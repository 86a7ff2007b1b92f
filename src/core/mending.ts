import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../log.ts';
import { sweepQuarantine } from '../programs/sweep.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Locks } from './locks.ts';
import { type Repos, readId } from './repos.ts';

interface Parts {
  readonly store: Store;
  readonly repos: Repos;
  readonly locks: Locks;
  readonly log: Log;
}

/** No git of ours holds the lock of a ref for so long: who made it is dead. */
const staleMs = 60_000;

/**
 * Removes what a killed git leaves in a repository that is in use: nobody could move a ref whose lock file stays. It
 * waits until no other git is at work there.
 */
export class Mending {
  readonly #parts: Parts;
  readonly #ending = new AbortController();
  /** By id of a repository. */
  readonly #jobs = new Map<string, Promise<void>>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** A git that may have written there was killed, for want of memory perhaps. */
  killed(directory: string): void {
    void readId(directory).then(
      (id) => id !== undefined && this.#begin(id),
      (error) => this.#tell(error, directory),
    );
  }

  /** git did not move some refs: it looks whether a lock is in the way that nobody holds any more. */
  async refused(repo: Repository, refs: readonly string[]): Promise<void> {
    const directory = this.#parts.repos.directory(repo);
    for (const name of [...refs, 'packed-refs']) {
      const lock = await stat(join(directory, `${name}.lock`)).catch(() => undefined);
      if (lock !== undefined && Date.now() - lock.mtimeMs > staleMs) return this.#begin(repo.id);
    }
  }

  /** Lets what is under way come to its end. */
  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#jobs.values());
  }

  #begin(id: string): void {
    if (this.#jobs.has(id)) return;
    const job = this.#mend(id)
      .catch((error) => this.#tell(error, id))
      .finally(() => this.#jobs.delete(id));
    this.#jobs.set(id, job);
  }

  async #mend(id: string): Promise<void> {
    const { store, repos, locks, log } = this.#parts;
    const release = await locks.alone(id, this.#ending.signal);
    try {
      const repo = await store.repositories.byId(id);
      if (repo === undefined) return;
      const removed = await sweepQuarantine(repos.directory(repo));
      log.warn({ repo: repo.fullName, removed }, 'cleaned up after a git that was killed');
    } finally {
      release();
    }
  }

  #tell(error: unknown, where: string): void {
    // The next one who meets it has it cleaned up.
    if (this.#ending.signal.aborted) return;
    this.#parts.log.error({ err: error, where }, 'what a killed git left is not cleaned up');
  }
}
