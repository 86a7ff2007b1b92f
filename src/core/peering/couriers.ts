import { UserError } from '../../model/errors.ts';
import { Conversations } from './pool.ts';

/** Who reads the log of changes has it to himself under this name. */
export const outbox = 'outbox';

/** What of continuous sync lives in the memory of this process; all that must not be lost is in marks. */
export class Couriers {
  /** Connections to other servers that wait for the next question. */
  readonly conversations = new Conversations();
  /** By the id of a main that asked whether this server leads: what it has to say to make it. */
  readonly offers = new Map<string, string>();
  readonly #leaving = new AbortController();
  readonly #ended = new AbortController();
  readonly #meetings = new Set<Promise<void>>();
  /** Ids of the servers whose marks are being carried for the clock. */
  readonly #working = new Set<string>();
  /** Ids of the servers that are being met. */
  readonly #meeting = new Set<string>();
  /** By the id of a server, when it is to be met again, in milliseconds of `performance.now()`. */
  readonly #nextMeeting = new Map<string, number>();
  readonly #alone = new Map<string, Promise<void>>();
  /** By the id of a server, what ends once it is not known here any more. */
  readonly #ties = new Map<string, AbortController>();
  readonly #listeners = new Set<() => void>();
  /** By server, the repositories that it ended or forced, each with the time of it. */
  readonly #losses = new Map<string, Map<string, number>>();

  /** Ends with the process's work: meetings that go on are ended by it. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Aborts when the server is about to end: conversations that other servers leave open are ended then. */
  get leaving(): AbortSignal {
    return this.#leaving.signal;
  }

  leave(): void {
    this.#leaving.abort();
  }

  async close(): Promise<void> {
    this.#ended.abort();
    await Promise.allSettled(this.#meetings);
    await this.conversations.close();
  }

  /** Ids of the servers whose marks are being carried now. */
  get working(): ReadonlySet<string> {
    return this.#working;
  }

  /** @returns the function that ends it; undefined where the clock is at it already */
  begin(serverId: string): (() => void) | undefined {
    if (this.#working.has(serverId)) return undefined;
    this.#working.add(serverId);
    return () => {
      this.#working.delete(serverId);
      this.tell();
    };
  }

  /** Whether a server is to be met now: its interval is over, and no meeting goes on. */
  isDue(serverId: string): boolean {
    if (this.#meeting.has(serverId)) return false;
    return (this.#nextMeeting.get(serverId) ?? 0) <= performance.now();
  }

  /** A server is met at once: something tells that it is there, or is another than it was. */
  expect(serverId: string): void {
    this.#nextMeeting.delete(serverId);
    this.tell();
  }

  /** Meets a server, once at a time; the next time comes an interval later, or a little before or after. */
  async meeting(serverId: string, intervalMs: number, work: () => Promise<void>): Promise<void> {
    this.#meeting.add(serverId);
    const met = work();
    this.#meetings.add(met);
    try {
      await met;
    } finally {
      this.#meetings.delete(met);
      this.#meeting.delete(serverId);
      this.#nextMeeting.set(serverId, performance.now() + jittered(intervalMs));
      this.tell();
    }
  }

  /** Aborts when a server is not known here any more: nothing is sent there or taken from there from then on. */
  tie(serverId: string): AbortSignal {
    const tie = this.#ties.get(serverId) ?? new AbortController();
    this.#ties.set(serverId, tie);
    return tie.signal;
  }

  /** A server is not known here any more. */
  sever({ id, name }: { readonly id: string; readonly name: string }): void {
    // Stays: a run that began before may look only now. An id comes once.
    const tie = this.#ties.get(id) ?? new AbortController();
    this.#ties.set(id, tie);
    tie.abort(new UserError('conflict', `${name}: it was removed meanwhile`));
  }

  /** How many repositories are on their way now. */
  get running(): number {
    return [...this.#alone.keys()].filter((what) => what !== outbox).length;
  }

  /** Waits until nobody else is at it. @returns the function that lets go of it */
  async alone(what: string): Promise<() => void> {
    while (this.#alone.has(what)) await this.#alone.get(what);
    let leave = () => {};
    this.#alone.set(
      what,
      new Promise((resolve) => {
        leave = resolve;
      }),
    );
    return () => {
      this.#alone.delete(what);
      leave();
    };
  }

  /** @returns the function that takes the listener away again. @param listener - called when something may be due */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /**
   * Counts a repository that a server ends, or whose default branch it forces.
   *
   * @param total - how many repositories are its own here
   * @returns whether so many of them went lately that a person should look first
   */
  brakes(serverId: string, repoId: string, total: number): boolean {
    const now = performance.now();
    const lost = this.#losses.get(serverId) ?? new Map<string, number>();
    for (const [id, at] of lost) if (at < now - lossMs) lost.delete(id);
    const count = lost.size + (lost.has(repoId) ? 0 : 1);
    if (count >= fewestLosses && count > total * mostLost) return true;
    lost.set(repoId, now);
    this.#losses.set(serverId, lost);
    return false;
  }
}

/** What is lost within so long counts as one run: a catch-up after a pause, or a stroke of somebody's. */
const lossMs = 600_000;
const fewestLosses = 3;
const mostLost = 0.05;

const mostJitter = 1.25;

/** Within a quarter of it, so that many servers don't meet at the same moment for ever. */
export function jittered(ms: number): number {
  return ms * (mostJitter - Math.random() / 2);
}

const firstPauseMs = 5000;
const longestPauseMs = 3_600_000;

/** How long to leave something alone that failed so often in a row. @returns milliseconds */
export function pauseMs(attempts: number): number {
  return jittered(Math.min(firstPauseMs * 2 ** Math.max(0, attempts - 1), longestPauseMs));
}

/** The latest moment at which a pause that begins now may end, ISO 8601. A later one is of a clock that went back since. */
export function latestPauseEnd(): string {
  return new Date(Date.now() + longestPauseMs * mostJitter).toISOString();
}

/** Whether a pause goes on. @param end - ISO 8601; empty for none */
export function isPaused(end: string): boolean {
  return end > new Date().toISOString() && end <= latestPauseEnd();
}

/** The moment at which such a pause ends, ISO 8601. */
export function pauseEnd(attempts: number): string {
  return new Date(Date.now() + pauseMs(attempts)).toISOString();
}
