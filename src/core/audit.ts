import { randomUUID } from 'node:crypto';
import type { Log } from '../log.ts';
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

const flushMs = 100;

/**
 * The record of every request: an opening and a closing row, both appended, each with the hash of the row before it (S28).
 * Rows are written in batches: at once for what changes something, within 100 ms for a pure read.
 */
export class Audit {
  readonly #store: Store;
  readonly #log: Log;
  readonly #failed: FailedSignIns;
  #head: AuditHead | undefined;
  #queue: AuditRow[] = [];
  #flushing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#failed = new FailedSignIns((count) => this.#push(failedRow(count)));
  }

  /** @param durable - wait until the row is on disk: for everything that may change something */
  async open(opening: Opening, durable: boolean): Promise<OpenRecord> {
    const row = openingRow(opening);
    this.#push(row);
    let closed = false;
    const close: OpenRecord['close'] = async (outcome, detail, { durable: now, targetId }) => {
      // A row that could not be written stays queued: a second one would never fit behind it.
      if (!closed) {
        const at = new Date().toISOString();
        this.#push({ ...row, at, phase: 'close', outcome, detail, targetId });
      }
      closed = true;
      if (now) await this.flush();
    };
    try {
      if (durable) await this.flush();
    } catch (error) {
      await close('failed', {}, { durable: false });
      throw error;
    }
    return { close };
  }

  /** A sign-in by a verified signature. */
  signedIn(principal: Principal, address: string): void {
    const opening = { request: randomUUID(), principal, address, door: 'ssh', action: 'sign-in' };
    this.#push({ ...openingRow({ ...opening, target: undefined }), phase: 'note', outcome: 'ok' });
  }

  /** A connection that tried and did not sign in; counted per address prefix and minute (S27). */
  signInFailed(address: string, fingerprints: readonly string[]): void {
    this.#failed.count(addressPrefix(address), fingerprints, new Date());
  }

  /** Something that the server does of itself. */
  noted(action: string, detail: Readonly<Record<string, unknown>>): void {
    const principal = { kind: 'operator' } as const;
    const request = randomUUID();
    const opening = { request, principal, address: undefined, door: 'clock', target: undefined };
    this.#push({ ...openingRow({ ...opening, action }), phase: 'note', outcome: 'ok', detail });
  }

  /** The newest row, after everything queued was written. */
  async head(): Promise<AuditHead> {
    await this.flush();
    this.#head ??= await this.#store.audit.head();
    return this.#head;
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
      throw error;
    }
  }

  #push(row: AuditRow): void {
    this.#queue.push(row);
    this.#timer ??= setTimeout(() => {
      this.flush().catch((error) => this.#log.error({ error }, 'audit rows not written'));
    }, flushMs);
  }

  /** Ends the timers after everything was written. */
  async stop(): Promise<void> {
    this.#failed.stop();
    await this.flush();
  }
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
