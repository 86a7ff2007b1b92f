import { setTimeout as wait } from 'node:timers/promises';

/** So much may pass at once, in parts of a second's worth. */
const burst = 0.1;
const leastBurstBytes = 16 * 1024;

/** A token bucket: what passes through it is no more than so many bytes a second. */
export class Throttle {
  readonly #bytesPerSecond: number;
  readonly #capacity: number;
  #tokens: number;
  #filledAt = performance.now();

  /** @param bytesPerSecond - Infinity without a bound */
  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#capacity = Math.max(leastBurstBytes, bytesPerSecond * burst);
    this.#tokens = Math.min(this.#capacity, leastBurstBytes);
  }

  /** Waits until so many bytes may pass. @throws the signal's reason */
  async pass(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === Number.POSITIVE_INFINITY) return;
    const now = performance.now();
    const gained = ((now - this.#filledAt) / 1000) * this.#bytesPerSecond;
    this.#tokens = Math.min(this.#capacity, this.#tokens + gained) - bytes;
    this.#filledAt = now;
    if (this.#tokens >= 0) return;
    const ms = (-this.#tokens / this.#bytesPerSecond) * 1000;
    await wait(ms, undefined, { signal });
  }
}
