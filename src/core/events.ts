import { UserError } from '../model/errors.ts';
import type { Principal } from '../model/principal.ts';
import { type Right, reaches } from '../model/right.ts';
import type { LoggedChange } from '../store/change-log.ts';
import type { Store } from '../store/store.ts';
import type { AccessControl } from './access.ts';

/** Something that happened, as one who may know of it sees it. */
export interface Event {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  /** The full name that the repository has now; after its end, the last one. */
  readonly repo?: string;
  readonly ref?: string;
  readonly old?: string;
  readonly new?: string;
  readonly principal: string;
  /** The other server, where one made the change. */
  readonly server?: string;
}

const pageRows = 500;

/** What happened and happens, from the change log; followers are told by the store after each commit. */
export class Events {
  readonly #store: Store;
  readonly #access: AccessControl;
  readonly #waiting = new Set<() => void>();
  readonly #forget: () => void;
  #commits = 0;
  #ended: UserError | undefined;

  constructor(store: Store, access: AccessControl) {
    this.#store = store;
    this.#access = access;
    this.#forget = store.changes.onCommit(() => {
      this.#commits += 1;
      this.#wake();
    });
  }

  /** The number of the newest event. */
  async newest(): Promise<number> {
    return this.#store.changes.newest();
  }

  /**
   * Events behind a number, oldest first, each decided on when it is told (S2).
   *
   * @param follow - whether to wait for more, until the signal or the server ends it
   * @throws UserError `denied` once the principal's standing ended; the signal's reason, if it has one
   */
  async *since(
    seq: number,
    { principal, signal, follow }: { principal: Principal; signal: AbortSignal; follow: boolean },
  ): AsyncGenerator<Event> {
    let last = seq;
    for (;;) {
      // Read before the log is: what is committed in between wakes at once.
      const commits = this.#commits;
      const page = await this.#store.changes.after(last, pageRows);
      for (const change of page) {
        if (signal.aborted) break;
        last = change.seq;
        const event = await this.#shown(principal, change);
        if (event !== undefined) yield event;
      }
      if (signal.aborted) {
        if (signal.reason instanceof UserError) throw signal.reason;
        return;
      }
      if (page.length > 0) {
        await new Promise(setImmediate);
        continue;
      }
      if (!follow) return;
      if (this.#ended !== undefined) throw this.#ended;
      if (commits === this.#commits) await this.#nextCommit(signal);
    }
  }

  /** Ends all who follow, after they were told everything. */
  stop(why: UserError): void {
    this.#ended = why;
    this.#forget();
    this.#wake();
  }

  async #shown(principal: Principal, change: LoggedChange): Promise<Event | undefined> {
    const standing = await this.#access.standing(principal);
    if (standing.ended !== undefined) throw new UserError('denied', standing.ended);
    const { repoId } = change;
    const repo = repoId === undefined ? undefined : await this.#store.repositories.byId(repoId);
    const name = repo?.fullName ?? (repoId === undefined ? undefined : text(change.detail['name']));
    if (standing.kind === 'operator' || standing.siteAdmin) return toEvent(change, name);
    if (repo === undefined) return undefined;
    const { right } = await this.#access.rightOn(principal, standing, repo);
    return reaches(right, rightFor(change)) ? toEvent(change, name) : undefined;
  }

  async #nextCommit(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

/** Who may do what is shown to those who may change it, as in `show` (S18). */
function rightFor({ type }: LoggedChange): Right {
  return /^(access|key)-/.test(type) ? 'admin' : 'read';
}

function toEvent({ seq, at, type, principal, detail }: LoggedChange, repo?: string): Event {
  const [, peer] = /^server:(.+)$/.exec(principal) ?? [];
  const optional = {
    repo,
    ref: text(detail['ref']),
    old: text(detail['old']),
    new: text(detail['new']),
  };
  const server = text(detail['server']) ?? peer;
  const given = Object.entries(optional).filter(([, value]) => value !== undefined);
  const tail = server === undefined ? {} : { server };
  return { seq, at, type, ...Object.fromEntries(given), principal, ...tail };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** What followers are told when the server ends. */
export function stopping(): UserError {
  return new UserError('unavailable', 'the server is stopping', { hint: 'follow again soon' });
}
