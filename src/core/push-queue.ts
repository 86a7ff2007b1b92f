import { endOf } from './locks.ts';

/** One push that waits for its turn. */
interface Waiter {
  readonly told: (place: number) => void;
  start(): void;
}

interface Line {
  running: number;
  readonly waiting: Waiter[];
}

/** A push's turn. */
export interface Turn {
  /** Whether it had to wait: then what was true before may not be true any more. */
  readonly waited: boolean;
  /** Ends the turn, so that the next one begins. */
  leave(): void;
}

/**
 * Lets so many pushes of one asker run at once, and the others wait, first come first served. Askers stand in lines of
 * their own: nobody waits for anybody else's pushes.
 */
export class PushQueue {
  #most: number;
  readonly #lines = new Map<string, Line>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Pushes of one asker at once. */
  get most(): number {
    return this.#most;
  }

  /** Another number from now on; where it is larger, those who wait need not wait for it. */
  allow(most: number): void {
    this.#most = most;
    for (const line of this.#lines.values()) {
      while (line.running < most && line.waiting.length > 0) {
        line.running += 1;
        line.waiting.shift()?.start();
      }
      tellFrom(line, 0);
    }
  }

  /**
   * Waits for a turn.
   *
   * @param asker - whom the push counts for
   * @param told - hears the place in line, 1 for the next, at once and whenever it changes; not at all without a wait
   * @throws UserError when the signal ends the wait: its reason, if it has one
   */
  async enter(
    asker: string,
    { signal, told }: { signal: AbortSignal; told: (place: number) => void },
  ): Promise<Turn> {
    if (signal.aborted) throw endOf(signal);
    const line = this.#lineOf(asker);
    const waited = line.running >= this.#most;
    if (waited) await this.#wait(asker, line, { signal, told });
    else line.running += 1;
    return { waited, leave: this.#leave(asker, line) };
  }

  /** How many pushes wait. */
  get waiting(): number {
    return [...this.#lines.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  #lineOf(asker: string): Line {
    const held = this.#lines.get(asker);
    if (held !== undefined) return held;
    const line: Line = { running: 0, waiting: [] };
    this.#lines.set(asker, line);
    return line;
  }

  async #wait(
    asker: string,
    line: Line,
    { signal, told }: { signal: AbortSignal; told: (place: number) => void },
  ): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const giveUp = () => {
        const at = line.waiting.indexOf(waiter);
        line.waiting.splice(at, 1);
        tellFrom(line, at);
        this.#forget(asker, line);
        reject(endOf(signal));
      };
      const waiter: Waiter = {
        told,
        start: () => {
          signal.removeEventListener('abort', giveUp);
          resolve();
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      line.waiting.push(waiter);
      told(line.waiting.length);
    });
  }

  #leave(asker: string, line: Line): () => void {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = line.running > this.#most ? undefined : line.waiting.shift();
      // The turn passes on without being free in between: nobody who comes now gets ahead of those who wait.
      if (next === undefined) line.running -= 1;
      else next.start();
      tellFrom(line, 0);
      this.#forget(asker, line);
    };
  }

  #forget(asker: string, line: Line): void {
    if (line.running === 0 && line.waiting.length === 0) this.#lines.delete(asker);
  }
}

/** Tells everybody from a place on where they stand now. */
function tellFrom({ waiting }: Line, first: number): void {
  for (const [at, { told }] of waiting.entries()) if (at >= first) told(at + 1);
}
