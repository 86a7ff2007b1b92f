import { UserError } from '../../model/errors.ts';
import type { Introduction } from '../../model/pairing.ts';

/** An exchange that is over: both sides made the same words of it, unless somebody stands between them. */
export interface Pending {
  /** The other side. */
  readonly from: Introduction;
  /** The blob of its signing key. */
  readonly key: Buffer;
  /** Where it is. */
  readonly address: string;
  readonly words: string;
  /** Whether it was begun here, by a person. */
  readonly ours: boolean;
}

/** How long words wait to be compared. */
const keptMs = 10 * 60 * 1000;
/** So many that others began are kept in all, and from one address. */
const mostAsked = 64;
const mostAskedByAddress = 4;

/** Exchanges whose words nobody has compared yet. Each is for one attempt, and nothing that must survive (S21). */
export class Pairings {
  readonly #pending = new Map<string, Pending & { readonly atMs: number }>();

  /** Keeps the newest exchange with a key; of those that others began, only a few. */
  put(pending: Pending): void {
    this.#clear();
    const id = idOf(pending.key);
    this.#pending.delete(id);
    this.#pending.set(id, { ...pending, atMs: Date.now() });
    if (pending.ours) return;
    const asked = this.list().filter(({ ours }) => !ours);
    const there = asked.filter(({ address }) => address === pending.address);
    const [oldest] = there.length > mostAskedByAddress ? there : asked;
    const tooMany = there.length > mostAskedByAddress || asked.length > mostAsked;
    if (tooMany && oldest !== undefined) this.#pending.delete(idOf(oldest.key));
  }

  find(key: Buffer): Pending | undefined {
    this.#clear();
    return this.#pending.get(idOf(key));
  }

  /** The oldest first. */
  list(): readonly Pending[] {
    this.#clear();
    return [...this.#pending.values()];
  }

  /** Ends an exchange: its words were right, or its one attempt is used up. */
  end(key: Buffer): void {
    this.#pending.delete(idOf(key));
  }

  #clear(): void {
    const oldestMs = Date.now() - keptMs;
    for (const [id, { atMs }] of this.#pending) if (atMs < oldestMs) this.#pending.delete(id);
  }
}

function idOf(key: Buffer): string {
  return key.toString('base64');
}

/** What both sides say when the other does not keep to the protocol. */
export function brokenPairing(why: string): UserError {
  return new UserError('denied', `pairing was given up: ${why}`, {
    hint: 'begin anew on one of the two machines',
  });
}
