import type { Log } from '../log.ts';
import type { Principal } from '../model/principal.ts';
import type { Store } from '../store/store.ts';

const flushMs = 1000;

/**
 * When users and keys were last seen, written once a second at the most: a sign-in costs no transaction of its own,
 * and the record has each of them anyway.
 */
export class SignIns {
  readonly #store: Store;
  readonly #log: Log;
  #seen = new Map<string, { userId?: string; at: string }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  note(principal: Principal): void {
    if (principal.kind !== 'user' && principal.kind !== 'deploy-key') return;
    const user = principal.kind === 'user' ? { userId: principal.id } : {};
    this.#seen.set(principal.keyId, { ...user, at: new Date().toISOString() });
    this.#timer ??= setTimeout(() => {
      this.flush().catch((error) => this.#log.error({ err: error }, 'last use not written'));
    }, flushMs);
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const seen = [...this.#seen].map(([keyId, signIn]) => ({ keyId, ...signIn }));
    this.#seen = new Map();
    if (seen.length > 0) await this.#store.users.seen(seen);
  }
}
