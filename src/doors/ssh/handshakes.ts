import type { Socket } from 'node:net';
import { networkOf } from './census.ts';

/** So many connections without a sign-in, within this time, are an attack. */
const attackCount = 20;
const attackMs = 10_000;
/** How often a stranger's key exchange begins then: it costs about 6 ms of processor time. */
const paceMs = 25;
/** How long an address is known by its last sign-in, and how many are remembered. */
const knownMs = 60 * 60 * 1000;
const mostKnown = 10_000;

/** Somebody who may have to wait. */
export interface Newcomer {
  readonly socket: Socket;
  readonly address: string;
  /** Begins the key exchange. */
  begin(): void;
  /** Hears that it is sent away. */
  leave(): void;
}

/**
 * Whose key exchange begins when. It is the dearest thing that strangers can ask for. While many of them come and don't
 * sign in, those from addresses where nobody has signed in wait for their turn, the networks one after the other; who
 * comes from a known address doesn't.
 */
export class Handshakes {
  readonly #known = new Map<string, number>();
  /** When connections ended without a sign-in, the oldest first. */
  readonly #failures: number[] = [];
  /** By network, in the order of their turns. */
  readonly #waiting = new Map<string, Newcomer[]>();
  #timer: NodeJS.Timeout | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;

  /** Begins a key exchange, at once or in its turn. A socket that closes before is forgotten. */
  enter(newcomer: Newcomer): void {
    const network = networkOf(newcomer.address);
    if (this.#isKnown(network) || !this.#attacked) {
      newcomer.begin();
      return;
    }
    this.#waiting.set(network, [...(this.#waiting.get(network) ?? []), newcomer]);
    newcomer.socket.once('close', () => this.#forget(network, newcomer));
    this.#schedule();
  }

  /** Somebody signed in from there: whoever else waits there need not wait any more. */
  signedIn(address: string): void {
    const network = networkOf(address);
    this.#known.delete(network);
    this.#known.set(network, Date.now());
    const [oldest] = this.#known.keys();
    if (this.#known.size > mostKnown && oldest !== undefined) this.#known.delete(oldest);
    const waiting = this.#waiting.get(network) ?? [];
    this.#waiting.delete(network);
    for (const newcomer of waiting) newcomer.begin();
  }

  /** Sends the last who waits away for somebody from a known address. @returns whether there was anybody to send away */
  giveWay(address: string): boolean {
    const last = [...this.#waiting.values()].at(-1)?.at(-1);
    if (last === undefined || !this.#isKnown(networkOf(address))) return false;
    last.leave();
    last.socket.destroy();
    return true;
  }

  /** A connection ended, and nobody had signed in. */
  failed(): void {
    this.#failures.push(Date.now());
    if (this.#failures.length > attackCount) this.#failures.shift();
  }

  /** Nobody gets a turn any more. */
  stop(): void {
    clearTimeout(this.#timer);
    for (const waiting of this.#waiting.values())
      for (const { socket } of waiting) socket.destroy();
    this.#waiting.clear();
  }

  get #attacked(): boolean {
    const [oldest = 0] = this.#failures;
    return this.#failures.length === attackCount && Date.now() - oldest < attackMs;
  }

  #isKnown(network: string): boolean {
    const at = this.#known.get(network);
    return at !== undefined && Date.now() - at < knownMs;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#waiting.size === 0) return;
    const waitMs = Math.max(this.#lastAt + paceMs - performance.now(), 0);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#next();
      this.#schedule();
    }, waitMs);
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    const [network, [waiter, ...others]] = first;
    // Behind all other networks, so that one with many connections holds up nobody but itself.
    this.#waiting.delete(network);
    if (others.length > 0) this.#waiting.set(network, others);
    this.#lastAt = performance.now();
    waiter?.begin();
  }

  #forget(network: string, waiter: Newcomer): void {
    const left = (this.#waiting.get(network) ?? []).filter((each) => each !== waiter);
    if (left.length > 0) this.#waiting.set(network, left);
    else this.#waiting.delete(network);
  }
}
