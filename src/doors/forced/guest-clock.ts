import type { Identified } from '../../core/identify.ts';
import { UserError } from '../../model/errors.ts';
import { durationText } from '../ssh/watch.ts';

/** Timers count in 32 bits. */
const longestTimeoutMs = 2 ** 31 - 1;

/** The clocks of somebody who came through sshd: silence, and the end of the key. */
export class GuestClock {
  readonly #idleMs: number;
  readonly #end: (why: UserError) => void;
  readonly #timers = new Map<'idle' | 'key', NodeJS.Timeout>();
  #silent = false;

  constructor(
    { idleMs, endsAt, principal }: Omit<Identified, 'type' | 'blob'> & { idleMs: number },
    end: (why: UserError) => void,
  ) {
    this.#idleMs = idleMs;
    this.#end = end;
    this.passed();
    if (endsAt !== undefined && 'fingerprint' in principal) {
      this.#watchKey(endsAt, principal.fingerprint);
    }
  }

  /** A byte went by. */
  passed(): void {
    if (this.#silent) return;
    const known = this.#timers.get('idle');
    if (known !== undefined) known.refresh();
    else this.#start('idle', this.#idleMs, () => this.#end(silentFor(this.#idleMs)));
  }

  /** From now on nothing need pass. */
  staySilent(): void {
    this.#silent = true;
    clearTimeout(this.#timers.get('idle'));
  }

  stop(): void {
    this.staySilent();
    clearTimeout(this.#timers.get('key'));
  }

  #watchKey(endsAt: number, fingerprint: string): void {
    const left = Math.max(endsAt - Date.now(), 0);
    this.#start('key', Math.min(left, longestTimeoutMs), () => {
      if (endsAt > Date.now()) return this.#watchKey(endsAt, fingerprint);
      const day = new Date(endsAt).toISOString().slice(0, 10);
      this.#end(new UserError('denied', `key ${fingerprint} ended on ${day}`));
    });
  }

  #start(name: 'idle' | 'key', ms: number, act: () => void): void {
    this.#timers.set(name, setTimeout(act, Math.min(ms, longestTimeoutMs)).unref());
  }
}

function silentFor(ms: number): UserError {
  const problem = `nothing was sent for ${durationText(ms)}`;
  return new UserError('unavailable', problem, { hint: 'connect again' });
}
