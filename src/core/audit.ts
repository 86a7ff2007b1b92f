import { randomUUID } from 'node:crypto';
import type { Log } from '../log.ts';
import { UserError } from '../model/errors.ts';
import { type Principal, principalText } from '../model/principal.ts';
import type { AuditHead, AuditRow } from '../store/audit.ts';
import type { Store } from '../store/store.ts';
import { addressPrefix, FailedSignIns } from './failed-sign-ins.ts';

export type Outcome =
  | 'ok'
  | 'denied'
  | 'not_found'
  | 'usage'
  | 'conflict'
  | 'failed'
  | 'interrupted';

/** What a request is about, as far as it is known when it is opened. */
export interface Opening {
  readonly request: string;
  readonly principal: Principal;
  readonly address: string | undefined;
  readonly door: string;
  readonly action: string;
  readonly target: string | undefined;
}

/** The open half of a request's record. */
export interface OpenRecord {
  /** Appends the closing row. Durable when it resolves if asked for; else within 100 ms. */
  close(
    outcome: Outcome,
    detail: Readonly<Record<string, unknown>>,
    options: { durable: boolean; targetId?: string | undefined },
  ): Promise<void>;
}

/** How a request ended whose record another process opened. */
export interface Conclusion {
  /** Undefined for something that nobody asked this server for. */
  readonly request: string | undefined;
  readonly outcome: Outcome;
  readonly detail: Readonly<Record<string, unknown>>;
}

const flushMs = 100;
/** How long a database that took no rows is left alone, once so many wait that each try costs. */
const retryMs = 250;
const costlyRows = 500;
/** Rows that wait for the disk at the most, besides the closing rows of requests that run. */
const mostWaiting = 10_000;

/**
 * The record of every request: an opening and a closing row, both appended, each with the hash of the row before it (S28).
 * Rows are written in batches: at once for what changes something, within 100 ms for a pure read. While the database takes
 * none, nothing new is let in: whoever asks has to wait for the disk as the rows do.
 */
export class Audit {
  readonly #store: Store;
  readonly #log: Log;
  readonly #failed: FailedSignIns;
  /** Requests whose records another process closes. */
  readonly #left = new Set<string>();
  #head: AuditHead | undefined;
  #queue: AuditRow[] = [];
  #flushing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  /** When rows could not be written, the last time; undefined while they can. */
  #stuckAt: number | undefined;
  /** Requests that were refused without a row, since there was no room for more. */
  #unrecorded: { requests: number; first: string; last: string } | undefined;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#failed = new FailedSignIns((count) => {
      if (this.#queue.length < mostWaiting) this.#push(failedRow(count));
      else this.#failed.add(count);
    });
  }

  /**
   * @param durable - wait until the row is on disk: for everything that may change something
   * @throws UserError `unavailable` while the database takes no rows, for reads too
   */
  async open(opening: Opening, durable: boolean): Promise<OpenRecord> {
    if (this.#queue.length >= mostWaiting) await this.#makeRoom();
    const row = openingRow(opening);
    this.#push(row);
    let closed = false;
    const close: OpenRecord['close'] = async (outcome, detail, { durable: now, targetId }) => {
      // A row that could not be written stays queued: a second one would never fit behind it.
      if (!closed && !this.#left.has(row.request)) {
        const at = new Date().toISOString();
        this.#push({ ...row, at, phase: 'close', outcome, detail, targetId });
      }
      closed = true;
      if (now) await this.flush();
    };
    try {
      if (durable || this.#stuckAt !== undefined) await this.#flushOrRefuse();
    } catch (error) {
      await close('failed', {}, { durable: false });
      throw error;
    }
    return { close };
  }

  /** Writes what waits. @throws UserError `unavailable` when that can't be: the request is only counted */
  async #makeRoom(): Promise<void> {
    try {
      await this.#flushOrRefuse();
    } catch (error) {
      const at = new Date().toISOString();
      const { requests, first } = this.#unrecorded ?? { requests: 0, first: at };
      this.#unrecorded = { requests: requests + 1, first, last: at };
      throw error;
    }
  }

  /** @throws UserError `unavailable` when nothing can be written; not tried at once again then */
  async #flushOrRefuse(): Promise<void> {
    const sinceMs = performance.now() - (this.#stuckAt ?? Number.NEGATIVE_INFINITY);
    if (this.#queue.length >= costlyRows && sinceMs < retryMs) throw notWritten(undefined);
    try {
      await this.flush();
    } catch (cause) {
      throw notWritten(cause);
    }
  }

  /** A sign-in by a verified signature. One more that can't be written down is counted alone. */
  signedIn(principal: Principal, address: string | undefined, door = 'ssh'): void {
    if (this.#queue.length >= mostWaiting) return void this.#makeRoom().catch(() => undefined);
    const opening = { request: randomUUID(), principal, address, door, action: 'sign-in' };
    this.#push({ ...openingRow({ ...opening, target: undefined }), phase: 'note', outcome: 'ok' });
  }

  /** A connection that tried and did not sign in; counted per address prefix and minute (S27). */
  signInFailed(address: string, fingerprints: readonly string[]): void {
    this.#failed.count(addressPrefix(address), fingerprints, new Date());
  }

  /** Something that the server does of itself. */
  noted(action: string, detail: Readonly<Record<string, unknown>>): void {
    this.#note(action, 'ok', detail);
  }

  #note(action: string, outcome: Outcome, detail: Readonly<Record<string, unknown>>): void {
    const principal = { kind: 'operator' } as const;
    const request = randomUUID();
    const opening = { request, principal, address: undefined, door: 'clock', target: undefined };
    this.#push({ ...openingRow({ ...opening, action }), phase: 'note', outcome, detail });
  }

  /** The newest row, after everything queued was written. */
  async head(): Promise<AuditHead> {
    await this.flush();
    this.#head ??= await this.#store.audit.head();
    return this.#head;
  }

  /** Leaves the record of a request that runs open: whoever has the data directory next closes it. */
  leave(request: string): void {
    this.#left.add(request);
  }

  /** Closes the record that another process left so; writes one down where there is none. */
  async conclude({ request, outcome, detail }: Conclusion): Promise<void> {
    if (request === undefined) this.#note('serve --takeover', outcome, detail);
    const row = (await this.#store.audit.open()).find((each) => each.request === request);
    const at = new Date().toISOString();
    if (row !== undefined) this.#push({ ...row, at, phase: 'close', outcome, detail });
    await this.flush();
  }

  /** Closes what a dead process left open. @param targetIdOf - what a request was about, if that can be told */
  async closeInterrupted(
    targetIdOf: (row: AuditRow) => Promise<string | undefined>,
  ): Promise<number> {
    const open = await this.#store.audit.open();
    const at = new Date().toISOString();
    for (const row of open) {
      const targetId = await targetIdOf(row);
      this.#push({ ...row, at, phase: 'close', outcome: 'interrupted', detail: {}, targetId });
    }
    await this.flush();
    return open.length;
  }

  /** Writes everything down, the failures counted so far too. */
  async settle(): Promise<void> {
    this.#failed.flush();
    await this.flush();
  }

  /** @throws when the database can't take the rows; they stay queued */
  async flush(): Promise<void> {
    const next = this.#flushing.catch(() => undefined).then(() => this.#write());
    this.#flushing = next;
    await next;
  }

  async #write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const rows = this.#queue;
    if (rows.length === 0) return;
    this.#queue = [];
    try {
      this.#head = await this.#store.audit.append(
        rows,
        this.#head ?? (await this.#store.audit.head()),
      );
    } catch (error) {
      this.#queue = [...rows, ...this.#queue];
      this.#stuckAt = performance.now();
      this.#timer ??= this.#flushIn(4 * retryMs).unref();
      throw error;
    }
    this.#stuckAt = undefined;
    const missed = this.#unrecorded;
    this.#unrecorded = undefined;
    if (missed !== undefined) this.noted('refused unrecorded', missed);
  }

  #push(row: AuditRow): void {
    this.#queue.push(row);
    this.#timer ??= this.#flushIn(flushMs);
  }

  #flushIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.flush().catch((error) => this.#log.error({ err: error }, 'audit rows not written'));
    }, ms);
  }

  /** Ends the timers after everything was written. */
  async stop(): Promise<void> {
    this.#failed.stop();
    await this.flush();
  }
}

function notWritten(cause: unknown): UserError {
  return new UserError('unavailable', 'the record of requests can not be written now', {
    hint: 'try again later; the operator of this server looks at its disk and its log',
    cause,
  });
}

function openingRow(opening: Opening): AuditRow {
  const { principal } = opening;
  return {
    at: new Date().toISOString(),
    phase: 'open',
    request: opening.request,
    principal: principalText(principal),
    principalId: 'id' in principal ? principal.id : undefined,
    key: 'fingerprint' in principal ? principal.fingerprint : undefined,
    address: opening.address,
    door: opening.door,
    action: opening.action,
    target: opening.target,
    targetId: undefined,
    outcome: 'open',
    detail: {},
  };
}

function failedRow(count: import('./failed-sign-ins.ts').FailedCount): AuditRow {
  const { prefix, attempts, first, last, fingerprints } = count;
  return {
    at: last,
    phase: 'note',
    request: randomUUID(),
    principal: 'anonymous',
    principalId: undefined,
    key: fingerprints.length === 1 ? fingerprints[0] : undefined,
    address: prefix,
    door: 'ssh',
    action: 'sign-in',
    target: undefined,
    targetId: undefined,
    outcome: 'denied',
    detail: { attempts, first, last, fingerprints },
  };
}
