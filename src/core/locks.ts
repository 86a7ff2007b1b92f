import { UserError } from '../model/errors.ts';

interface Waiter {
  readonly exclusive: boolean;
  /** How often a change that waits has let those behind it pass. */
  passed: number;
  /** Until then a change that is first in line holds up those behind it. */
  patience: NodeJS.Timeout | undefined;
  start(): void;
}

interface Lock {
  shared: number;
  exclusive: boolean;
  readonly waiting: Waiter[];
  /** Those who want it alone, and let everybody else go first. */
  readonly modest: Waiter[];
  /** What sharers do once somebody wants it alone. */
  readonly giveWay: Set<() => void>;
}

/**
 * How long a change holds up the readers behind it, before it lets those pass who wait by then, and tries anew: at first
 * short, so that nobody waits long behind a change that can't have its way; then longer, so that readers who come one
 * after the other don't keep it out.
 */
const patienceMs = [2000, 4000, 8000];

/**
 * Shared and exclusive locks by repository id, first come first served (S11); a change that others keep waiting lets
 * readers pass from time to time. They live in the memory of the one
 * process that owns the data directory, so that they end with it, whatever ends it.
 */
export class Locks {
  readonly #locks = new Map<string, Lock>();

  /** @returns the function that lets go of it. @throws UserError when the signal ends the wait: its reason, if it has one */
  async shared(id: string, signal: AbortSignal): Promise<() => void> {
    return this.#take(id, false, signal);
  }

  /**
   * As `shared`, for what can wait: it is told when somebody wants it alone.
   *
   * @param giveWay - is to end soon what is done with it
   */
  async sharedUntilWanted(
    id: string,
    signal: AbortSignal,
    giveWay: () => void,
  ): Promise<() => void> {
    const release = await this.#take(id, false, signal);
    const lock = this.#of(id);
    lock.giveWay.add(giveWay);
    return () => {
      lock.giveWay.delete(giveWay);
      release();
    };
  }

  /**
   * @param waitMs - 30 s by rule S11
   * @throws UserError `unavailable` when others still hold it by then
   */
  async exclusive(id: string, what: string, waitMs = 30_000): Promise<() => void> {
    return this.#within(id, true, { what, waitMs });
  }

  /** As `exclusive`, but with others who share it. */
  async sharedFor(id: string, what: string, waitMs = 30_000): Promise<() => void> {
    return this.#within(id, false, { what, waitMs });
  }

  async #within(
    id: string,
    exclusive: boolean,
    { what, waitMs }: { what: string; waitMs: number },
  ): Promise<() => void> {
    try {
      return await this.#take(id, exclusive, AbortSignal.timeout(waitMs));
    } catch (cause) {
      throw new UserError(
        'unavailable',
        `${what}: in use by other requests for ${waitMs / 1000} s`,
        {
          hint: 'try again when the running pushes and clones are through',
          cause,
        },
      );
    }
  }

  /** Waits for as long as the signal lets it. @returns and throws as `shared` */
  async alone(id: string, signal: AbortSignal): Promise<() => void> {
    return this.#take(id, true, signal);
  }

  /**
   * As `alone`, once nobody else wants it: who comes meanwhile goes first, and nobody gives way to it. For what is done
   * within milliseconds.
   */
  async whenFree(id: string, signal: AbortSignal): Promise<() => void> {
    return this.#take(id, 'modest', signal);
  }

  /** How many wait for one. */
  get waiting(): number {
    return [...this.#locks.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Takes it only if that needs no waiting. */
  tryExclusive(id: string): (() => void) | undefined {
    const lock = this.#of(id);
    if (lock.shared > 0 || lock.exclusive || lock.waiting.length > 0) return undefined;
    lock.exclusive = true;
    return this.#release(id, lock, true);
  }

  #of(id: string): Lock {
    const held = this.#locks.get(id);
    if (held !== undefined) return held;
    const lock: Lock = {
      shared: 0,
      exclusive: false,
      waiting: [],
      modest: [],
      giveWay: new Set(),
    };
    this.#locks.set(id, lock);
    return lock;
  }

  async #take(id: string, how: boolean | 'modest', signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw endOf(signal);
    const lock = this.#of(id);
    const exclusive = how !== false;
    const queue = how === 'modest' ? lock.modest : lock.waiting;
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        clearTimeout(waiter.patience);
        queue.splice(queue.indexOf(waiter), 1);
        this.#wake(id, lock);
        reject(endOf(signal));
      };
      const waiter: Waiter = {
        exclusive,
        passed: 0,
        patience: undefined,
        start: () => {
          clearTimeout(waiter.patience);
          signal.removeEventListener('abort', abort);
          if (exclusive) lock.exclusive = true;
          else lock.shared += 1;
          resolve();
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      queue.push(waiter);
      if (how === true) for (const giveWay of lock.giveWay) giveWay();
      this.#wake(id, lock);
    });
    return this.#release(id, lock, exclusive);
  }

  #release(id: string, lock: Lock, exclusive: boolean): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      if (exclusive) lock.exclusive = false;
      else lock.shared -= 1;
      this.#wake(id, lock);
    };
  }

  #wake(id: string, lock: Lock): void {
    for (;;) {
      const next = lock.waiting[0];
      if (next === undefined || lock.exclusive) break;
      if (next.exclusive && lock.shared > 0) {
        this.#beImpatient(lock, next);
        break;
      }
      lock.waiting.shift();
      next.start();
    }
    const isFree = () => lock.shared === 0 && !lock.exclusive && lock.waiting.length === 0;
    if (isFree()) lock.modest.shift()?.start();
    if (isFree() && this.#locks.get(id) === lock) this.#locks.delete(id);
  }

  /** Lets the readers who wait behind a change pass, when it has held them up for long enough. */
  #beImpatient(lock: Lock, change: Waiter): void {
    const ms = patienceMs[Math.min(change.passed, patienceMs.length - 1)];
    change.patience ??= setTimeout(() => {
      change.patience = undefined;
      change.passed += 1;
      const readers = lock.waiting.filter(({ exclusive }) => !exclusive);
      lock.waiting.splice(0, Infinity, ...lock.waiting.filter(({ exclusive }) => exclusive));
      for (const reader of readers) reader.start();
      this.#beImpatient(lock, change);
    }, ms).unref();
  }
}

/** Why a wait ends: the reason that the door gave, or that nobody waits any more. */
export function endOf({ reason }: AbortSignal): UserError {
  if (reason instanceof UserError) return reason;
  return new UserError('unavailable', 'the client went away while it waited', { cause: reason });
}
