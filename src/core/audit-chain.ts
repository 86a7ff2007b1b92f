import { join } from 'node:path';
import type { Log } from '../log.ts';
import { auditNamespace, type HeadKind, headName, headText } from '../model/audit-head.ts';
import { UserError } from '../model/errors.ts';
import { readSigner, type Signer } from '../model/signer.ts';
import { verifySshSignature } from '../model/sshsig.ts';
import { type AuditHead, expectedHash, genesis, type RawAuditRow } from '../store/audit.ts';
import type { SignedHead } from '../store/audit-heads.ts';
import type { Store } from '../store/store.ts';
import type { Audit } from './audit.ts';
import { readPrivateKey } from './house.ts';

/** What was found in the chain. */
export interface Verification {
  readonly ok: boolean;
  /** How many rows are whole. */
  readonly rows: number;
  /** `SEQ:HASH` of the last whole row. */
  readonly head: string;
  readonly first_bad: number | null;
}

const pageRows = 500;

/**
 * The record as a chain: checked, handed out row by row, its head signed, and its beginning dropped behind a signed
 * checkpoint (S28). Everything goes in pages, with the loop's other work in between (S17).
 */
export class AuditChain {
  readonly #store: Store;
  readonly #audit: Audit;
  readonly #log: Log;
  readonly #keyPath: string;
  #signer: Promise<Signer> | undefined;

  constructor({ store, audit, log }: { store: Store; audit: Audit; log: Log }, dataDir: string) {
    this.#store = store;
    this.#audit = audit;
    this.#log = log;
    this.#keyPath = join(dataDir, 'keys', 'sign_ed25519');
  }

  /** Reads the signing key. @throws UserError `unavailable` without one that only its owner can read */
  async signer(): Promise<Signer> {
    this.#signer ??= readPrivateKey(this.#keyPath).then((text) => {
      try {
        return readSigner(text);
      } catch (cause) {
        throw new UserError('unavailable', `private key ${this.#keyPath}: ${messageOf(cause)}`, {
          cause,
        });
      }
    });
    return this.#signer;
  }

  /** Where the chain begins: undefined while nothing was dropped. */
  async checkpoint(): Promise<SignedHead | undefined> {
    return this.#store.auditHeads.checkpoint();
  }

  /** Every row that there is now, oldest first, as the table has it. */
  async *rows(signal: AbortSignal): AsyncGenerator<RawAuditRow> {
    await this.#audit.settle();
    const end = await this.#audit.head();
    let { seq } = genesis;
    while (seq < end.seq && !signal.aborted) {
      const page = await this.#store.audit.rows(seq, pageRows);
      for (const row of page) if (row.seq <= end.seq) yield row;
      seq = page.at(-1)?.seq ?? end.seq;
      await new Promise(setImmediate);
    }
  }

  /**
   * Walks the whole chain, from the checkpoint on where there is one. It must have the heads that were signed, as far
   * as they are kept here.
   *
   * @param kept - a head kept elsewhere: a chain that ends before it, or differs there, was cut or rewritten
   * @throws UserError `not_found` when the row of `kept` was dropped
   */
  async verify(kept: AuditHead | undefined): Promise<Verification> {
    await this.#audit.settle();
    for (;;) {
      const checkpoint = await this.checkpoint();
      const start = checkpoint ?? genesis;
      if (kept !== undefined && kept.seq < start.seq) throw dropped(kept, checkpoint);
      const fair = checkpoint === undefined || (await this.#isSigned('checkpoint', checkpoint));
      const found = fair ? await this.#walk(start, kept) : broken(start, start, start.seq + 1);
      // Where rows were dropped meanwhile, the walk began before they were, and missed them.
      if (found.ok || (await this.checkpoint())?.seq === checkpoint?.seq) return found;
    }
  }

  async #walk(start: AuditHead, kept: AuditHead | undefined): Promise<Verification> {
    if (kept?.seq === start.seq && kept.hash !== start.hash) return broken(start, start, kept.seq);
    const signed = await this.#store.auditHeads.behind(start.seq);
    let last = start;
    let nextSigned = 0;
    for (;;) {
      const page = await this.#store.audit.rows(last.seq, pageRows);
      for (const row of page) {
        const { seq, hash } = row;
        const fits = seq === last.seq + 1 && hash === expectedHash(last.hash, row);
        if (!fits) return broken(start, last, last.seq + 1);
        if (kept?.seq === seq && kept.hash !== hash) return broken(start, last, seq);
        for (; signed[nextSigned]?.seq === seq; nextSigned += 1) {
          if (await this.#differs(signed[nextSigned], hash)) return broken(start, last, seq);
        }
        last = { seq, hash };
      }
      if (page.length === 0) break;
      await new Promise(setImmediate);
    }
    for (const head of signed.slice(nextSigned)) {
      if (await this.#differs(head, '')) return broken(start, last, last.seq + 1);
    }
    if (kept !== undefined && kept.seq > last.seq) return broken(start, last, last.seq + 1);
    const rows = last.seq - start.seq;
    return { ok: true, rows, head: headName(last), first_bad: null };
  }

  /** A head in the table that nobody signed says nothing. */
  async #differs(head: SignedHead | undefined, hash: string): Promise<boolean> {
    return head !== undefined && head.hash !== hash && (await this.#isSigned('head', head));
  }

  async #isSigned(kind: HeadKind, { seq, hash, at, signature }: SignedHead): Promise<boolean> {
    const { blob } = (await this.signer()).publicKey;
    const message = headText(kind, { seq, hash }, at);
    return verifySshSignature(signature, { blob, namespace: auditNamespace, message });
  }

  async #sign(kind: HeadKind, { seq, hash }: AuditHead): Promise<SignedHead> {
    const at = new Date().toISOString();
    const signer = await this.signer();
    const signature = signer.sign(auditNamespace, headText(kind, { seq, hash }, at));
    return { seq, hash, at, signature };
  }

  /** Signs the newest row's number and hash, for the journal and the table, unless that was done already. */
  async signHead(): Promise<void> {
    const head = await this.#audit.head();
    const last = await this.#store.auditHeads.last();
    if (head.seq === 0 || (last?.seq === head.seq && last.hash === head.hash)) return;
    const known = last === undefined || (await this.#has(last));
    if (!known)
      this.#log.error({ signed: headName(last) }, 'the audit record was cut or rewritten');
    const signed = await this.#sign('head', head);
    await this.#store.auditHeads.add(signed);
    const { at, signature } = signed;
    this.#log.info({ head: headName(head), at, signature }, 'audit head');
  }

  async #has({ seq, hash }: AuditHead): Promise<boolean> {
    const there = await this.#store.audit.hashAt(seq);
    if (there !== undefined) return there === hash;
    return seq <= ((await this.checkpoint())?.seq ?? 0);
  }

  /**
   * Drops what was written before a moment, page by page, each behind a checkpoint of its own. Rows of requests that
   * still run, and all behind a row that is not whole, stay.
   *
   * @param before - ISO 8601 UTC
   */
  async drop(before: string): Promise<void> {
    const { auditHeads, audit } = this.#store;
    await this.#audit.flush();
    let last: AuditHead = (await this.checkpoint()) ?? genesis;
    let rows = 0;
    for (;;) {
      const open = (await auditHeads.oldestOpen()) ?? Number.POSITIVE_INFINITY;
      const page = await audit.rows(last.seq, pageRows);
      const stays = page.findIndex(({ at, seq }) => at >= before || seq >= open);
      const old = stays === -1 ? page : page.slice(0, stays);
      const next = chained(last, old);
      if (next === undefined) {
        this.#log.error({ behind: headName(last) }, 'the audit record is broken: nothing dropped');
        break;
      }
      if (next.seq === last.seq) break;
      await auditHeads.dropUpTo(await this.#sign('checkpoint', next));
      rows += old.length;
      last = next;
      await new Promise(setImmediate);
    }
    if (rows > 0) this.#audit.noted('audit keep', { rows, checkpoint: headName(last) });
  }
}

/** The head behind some rows; undefined when they don't follow each other. */
function chained(start: AuditHead, rows: readonly RawAuditRow[]): AuditHead | undefined {
  let last = start;
  for (const row of rows) {
    if (row.seq !== last.seq + 1 || row.hash !== expectedHash(last.hash, row)) return undefined;
    last = { seq: row.seq, hash: row.hash };
  }
  return last;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function broken(start: AuditHead, last: AuditHead, firstBad: number): Verification {
  return { ok: false, rows: last.seq - start.seq, head: headName(last), first_bad: firstBad };
}

function dropped(kept: AuditHead, checkpoint: SignedHead | undefined): UserError {
  const told = `row ${kept.seq} is not there any more: audit.keep had the rows up to ${checkpoint?.seq} dropped`;
  return new UserError('not_found', told, {
    hint: 'give a newer head, from the log or audit verify',
  });
}
