import { UserError } from '../model/errors.ts';
import { type Principal, principalText } from '../model/principal.ts';

/** A connection at a door, or a request that runs. */
export interface Session {
  /** A UUID. */
  readonly id: string;
  readonly kind: 'connection' | 'request';
  /** The connection that a request came through. */
  readonly connection: string | undefined;
  /** The contract's text; `anonymous` before a sign-in. */
  readonly principal: string;
  readonly address: string | undefined;
  readonly door: string;
  readonly action: string | undefined;
  readonly target: string | undefined;
  readonly startedAt: string;
}

/** Timers count in 32 bits. */
const longestTimeoutMs = 2 ** 31 - 1;

/** A way in, with what is open there. */
export interface OpenDoor {
  /** Where it listens, as `ssh://HOST:PORT`; nothing for a door that is no business of clients. */
  readonly listeners: readonly string[];
  connections(): readonly Session[];
  /** Ends what matching principals have open; `why` is told to them. */
  endWhere(matches: (principal: Principal) => boolean, why: UserError): void;
  /** Ends a connection or a request within a second. @returns whether the door has it */
  end(id: string, why: UserError): boolean;
  /** Shows these host keys from now on; absent where there are none. @param texts - of the private keys' files */
  showHostKeys?(texts: readonly string[]): Promise<void>;
}

/**
 * What is open at the doors and runs, so that it can be looked at, and so that a key or user that lost its standing
 * loses what it has open too.
 */
export class Sessions {
  readonly #doors = new Set<OpenDoor>();
  readonly #requests = new Map<string, Session>();

  /** @returns the function that takes the door out again */
  register(door: OpenDoor): () => void {
    this.#doors.add(door);
    return () => this.#doors.delete(door);
  }

  /** A request runs from now on. @returns the function to call at its end */
  began(request: Omit<Session, 'kind' | 'principal' | 'startedAt'> & { principal: Principal }) {
    this.#requests.set(request.id, {
      ...request,
      kind: 'request',
      principal: principalText(request.principal),
      startedAt: new Date().toISOString(),
    });
    return () => {
      this.#requests.delete(request.id);
    };
  }

  /** Whether a server runs, not just one command by itself. */
  get serving(): boolean {
    return this.#doors.size > 0;
  }

  get listeners(): readonly string[] {
    return [...this.#doors].flatMap(({ listeners }) => listeners);
  }

  /** Connections, then requests, each the oldest first. */
  list(): readonly Session[] {
    const connections = [...this.#doors].flatMap((door) => door.connections());
    return [...connections, ...this.#requests.values()];
  }

  /**
   * Ends a connection with all its requests, or one request.
   *
   * @param why - told to the client; undefined to look only whether there is such a one
   * @throws UserError `not_found`
   */
  end(id: string, why: UserError | undefined): void {
    const known = this.list().some((each) => each.id === id);
    if (known && why === undefined) return;
    if (why !== undefined && [...this.#doors].some((door) => door.end(id, why))) return;
    throw new UserError('not_found', `${id}: no such session`, {
      hint: 'see them with: sessions list',
    });
  }

  /** Shows other host keys to whoever connects from now on. @param texts - of the private keys' files */
  async showHostKeys(texts: readonly string[]): Promise<void> {
    for (const door of this.#doors) await door.showHostKeys?.(texts);
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
    for (const door of this.#doors) door.endWhere(matches, why);
  }
}
