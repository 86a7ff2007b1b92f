import type { UserError } from '../model/errors.ts';
import type { Principal } from '../model/principal.ts';

/** Ends what matching principals have open at one door. */
type End = (matches: (principal: Principal) => boolean, why: UserError) => void;

/** Timers count in 32 bits. */
const longestTimeoutMs = 2 ** 31 - 1;

/** What is open at the doors, so that a key or user that lost its standing loses what it has open too. */
export class Sessions {
  readonly #doors = new Set<End>();

  /** @returns the function that takes the door out again */
  register(end: End): () => void {
    this.#doors.add(end);
    return () => this.#doors.delete(end);
  }

  endUser(userId: string, why: UserError): void {
    this.#end((principal) => principal.kind === 'user' && principal.id === userId, why);
  }

  endKeys(keyIds: readonly string[], why: UserError): void {
    const ended = new Set(keyIds);
    this.#end((principal) => 'keyId' in principal && ended.has(principal.keyId), why);
  }

  /** Ends what a key has open when its time comes. @param at - ISO 8601 */
  endKeyAt(keyId: string, at: string, why: UserError): void {
    const leftMs = Math.max(Date.parse(at) - Date.now(), 0);
    const act = () =>
      leftMs > longestTimeoutMs ? this.endKeyAt(keyId, at, why) : this.endKeys([keyId], why);
    setTimeout(act, Math.min(leftMs, longestTimeoutMs)).unref();
  }

  #end(matches: (principal: Principal) => boolean, why: UserError): void {
    for (const end of this.#doors) end(matches, why);
  }
}
