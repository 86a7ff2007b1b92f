import { randomUUID } from 'node:crypto';
import type { Log } from '../log.ts';
import { type Principal, principalText } from '../model/principal.ts';
import type { AuditEntry, AuditFilter, AuditHead, AuditRow } from '../store/audit.ts';
import { chainHash } from '../store/audit.ts';
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

export interface Verification {
  readonly ok: boolean;
  readonly rows: number;
  /** `SEQ:HASH` of the newest row. */
  readonly head: string;
  readonly first_bad: number | null;
}

const flushMs = 100;
const pageRows = 1000;

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

  /** Newest first; what was counted or queued until now is in it. */
  async list(filter: AuditFilter): Promise<readonly AuditEntry[]> {
    await this.settle();
    return this.#store.audit.list(filter);
  }

  /**
   * Walks the whole chain in pages.
   *
   * @param head - `SEQ:HASH` kept elsewhere: a chain that ends before it, or differs there, was cut or rewritten
   */
  async verify(head: { seq: number; hash: string } | undefined): Promise<Verification> {
    await this.settle();
    let last: AuditHead = { seq: 0, hash: '0'.repeat(64) };
    const bad = (seq: number): Verification => ({
      ok: false,
      rows: last.seq,
      head: `${last.seq}:${last.hash}`,
      first_bad: seq,
    });
    for (;;) {
      const links = await this.#store.audit.links(last.seq, pageRows);
      for (const { seq, fields, hash } of links) {
        const expected = chainHash(last.hash, last.seq + 1, fields);
        if (seq !== last.seq + 1 || hash !== expected) return bad(last.seq + 1);
        if (head?.seq === seq && head.hash !== hash) return bad(seq);
        last = { seq, hash };
      }
      if (links.length === 0) break;
      await new Promise(setImmediate);
    }
    if (head !== undefined && head.seq > last.seq) return bad(last.seq + 1);
    return { ok: true, rows: last.seq, head: `${last.seq}:${last.hash}`, first_bad: null };
  }

  /** Closes what a dead process left open. */
  async closeInterrupted(): Promise<number> {
    const open = await this.#store.audit.open();
    const at = new Date().toISOString();
    for (const row of open) {
      this.#push({ ...row, at, phase: 'close', outcome: 'interrupted', detail: {} });
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
