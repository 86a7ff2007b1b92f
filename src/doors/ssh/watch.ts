import { UserError } from '../../model/errors.ts';
import { fingerprint } from '../../model/sshkey.ts';
import type { KeyOwner } from './door.ts';
import { messages } from './messages.ts';
import type { Transport } from './ssh2-internals.ts';

/** How long, how often and how much, from the door's options. */
export interface WatchSettings {
  readonly loginGraceMs: number;
  readonly idleMs: number;
  readonly keepaliveMs: number;
  readonly rekeyBytes: number;
}

/** What a watch does to its connection. */
export interface WatchPort {
  readonly transport: Transport;
  /** Ends it, telling whoever has a channel open. */
  end(why: UserError): void;
  /** Ends it before anybody signed in. */
  refuse(why: UserError): void;
  /** Ends it without a word, because nobody listens. */
  cut(): void;
}

const missesAllowed = 5;
const rekeyMs = 60 * 60 * 1000;
/** A key exchange after less than this is one too early. */
const soonBytes = 1024 ** 2;
const soonMs = 10_000;
const earlyExchanges = 10;
const earlyExchangesBeforeSignIn = 2;
const mostQueued = 1000;
const longestTimeoutMs = 2 ** 31 - 1;

/** All clocks of one connection: sign-in, silence, the key's end, signs of life, and the age of its keys. */
export class Watch {
  readonly #settings: WatchSettings;
  readonly #port: WatchPort;
  readonly #timers = new Set<NodeJS.Timeout>();
  #exchangeTimer: NodeJS.Timeout | undefined;
  #signedIn = false;
  #activeAt = Date.now();
  /** How many requests may be silent for as long as they like. */
  #silent = 0;
  #alive = true;
  #misses = 0;
  #exchanges = 0;
  #early = 0;
  #keyBytes = 0;
  #keysAt = Date.now();
  #rekeyAsked = false;

  constructor(settings: WatchSettings, port: WatchPort) {
    this.#settings = settings;
    this.#port = port;
    const { loginGraceMs } = settings;
    this.#after(loginGraceMs, () => {
      if (this.#signedIn) return;
      const problem = `nobody signed in within ${loginGraceMs / 1000} s`;
      port.refuse(new UserError('unavailable', problem, { hint: 'connect again' }));
    });
  }

  /** The connection is over. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    clearTimeout(this.#exchangeTimer);
    this.#exchangeTimer = undefined;
  }

  /** From now on silence and the key's end count. */
  signedIn(owner: KeyOwner): void {
    this.#signedIn = true;
    this.stop();
    this.active();
    this.#watchIdle(this.#settings.idleMs);
    this.#watchLife();
    const { endsAt } = owner;
    if (endsAt !== undefined) this.#watchEnd(owner, endsAt);
  }

  /** Bytes of a channel passed, or something was asked. */
  active(): void {
    this.#activeAt = Date.now();
  }

  /** A request began that may be silent, or one ended: the limit counts from its end on. */
  silence(difference: 1 | -1): void {
    this.#silent += difference;
    this.active();
  }

  /** The client gave a sign of life. */
  heard(): void {
    this.#alive = true;
  }

  received(bytes: number): void {
    this.#keyBytes += bytes;
  }

  sent(bytes: number): void {
    this.#keyBytes += bytes;
    if (this.#keyBytes > this.#settings.rekeyBytes) this.#rekeySoon();
  }

  /** To be called after each read: a key exchange must not take for ever, nor fill the memory. */
  exchangeChecked(): void {
    const { transport } = this.#port;
    if (!transport.exchanging || !this.#signedIn) return;
    if (transport.queued > mostQueued) this.#port.cut();
    this.#exchangeTimer ??= setTimeout(() => this.#port.cut(), this.#settings.loginGraceMs);
  }

  /** A key exchange has ended. @returns what is wrong when there were too many */
  keysChanged(): string | undefined {
    clearTimeout(this.#exchangeTimer);
    this.#exchangeTimer = undefined;
    const now = Date.now();
    const soon = this.#keyBytes < soonBytes && now - this.#keysAt < soonMs;
    this.#exchanges += 1;
    if (this.#exchanges > 1 && soon) this.#early += 1;
    this.#keyBytes = 0;
    this.#keysAt = now;
    this.#rekeyAsked = false;
    const most = this.#signedIn ? earlyExchanges : earlyExchangesBeforeSignIn;
    return this.#early > most ? 'too many key exchanges' : undefined;
  }

  #watchIdle(ms: number): void {
    this.#after(ms, () => {
      const { idleMs } = this.#settings;
      const left = this.#silent > 0 ? idleMs : this.#activeAt + idleMs - Date.now();
      if (left > 0) return this.#watchIdle(left);
      const problem = `nothing was sent for ${durationText(this.#settings.idleMs)}`;
      this.#port.end(new UserError('unavailable', problem, { hint: 'connect again' }));
    });
  }

  #watchLife(): void {
    this.#after(this.#settings.keepaliveMs, () => {
      this.#misses = this.#alive ? 0 : this.#misses + 1;
      if (this.#misses > missesAllowed) return this.#port.cut();
      if (!this.#alive || this.#misses > 0) this.#port.transport.send(messages.keepalive());
      this.#alive = false;
      if (Date.now() - this.#keysAt > rekeyMs) this.#rekeySoon();
      this.#watchLife();
    });
  }

  #watchEnd(owner: KeyOwner, endsAt: number): void {
    const left = Math.max(endsAt - Date.now(), 0);
    this.#after(Math.min(left, longestTimeoutMs), () => {
      if (endsAt > Date.now()) return this.#watchEnd(owner, endsAt);
      const day = new Date(endsAt).toISOString().slice(0, 10);
      this.#port.end(new UserError('denied', `key ${fingerprint(owner.blob)} ended on ${day}`));
    });
  }

  #rekeySoon(): void {
    if (this.#rekeyAsked || !this.#signedIn) return;
    this.#rekeyAsked = true;
    // Not within a packet that is being written.
    setImmediate(() => {
      this.#port.transport.rekey();
      this.exchangeChecked();
    });
  }

  #after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }
}

/** `10 minutes`, `20 s` */
export function durationText(ms: number): string {
  return ms >= 60_000 ? `${ms / 60_000} minutes` : `${ms / 1000} s`;
}
