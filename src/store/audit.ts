import { createHash } from 'node:crypto';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

export interface AuditRow {
  readonly at: string;
  readonly phase: 'open' | 'close' | 'note';
  readonly request: string;
  readonly principal: string;
  readonly principalId: string | undefined;
  readonly key: string | undefined;
  readonly address: string | undefined;
  readonly door: string;
  readonly action: string;
  readonly target: string | undefined;
  readonly targetId: string | undefined;
  readonly outcome: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** The newest row of the chain: the next one continues it. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

/** A row as the table has it: the columns in their order are what its hash is made of. */
export type RawAuditRow = Tables['audit'];

/** What the first row of all goes on from. */
export const genesis: AuditHead = { seq: 0, hash: '0'.repeat(64) };

/**
 * The hash of a row: SHA-256 over the JSON array of the previous hash, the number and the row's columns in the table's order.
 * The table and this line are all that an independent verifier needs.
 */
function chainHash(previous: string, seq: number, fields: readonly (string | null)[]): string {
  return createHash('sha256')
    .update(JSON.stringify([previous, seq, ...fields]))
    .digest('hex');
}

/** The append-only, hash-chained record. Nothing here updates or deletes a row of it. */
export class AuditLog {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async head(): Promise<AuditHead> {
    const row = await this.#db
      .selectFrom('audit')
      .select(['seq', 'hash'])
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row ?? (await this.#checkpoint()) ?? genesis;
  }

  /** All rows may have been dropped behind it. */
  async #checkpoint(): Promise<AuditHead | undefined> {
    return this.#db
      .selectFrom('audit_checkpoint')
      .select(['seq', 'hash'])
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
  }

  /** Appends rows behind `head` in one durable transaction. @returns the new head */
  async append(rows: readonly AuditRow[], head: AuditHead): Promise<AuditHead> {
    return this.#db.transaction().execute(async (trx) => {
      let { seq, hash } = head;
      for (const row of rows) {
        seq += 1;
        const columns = toColumns(row);
        hash = chainHash(hash, seq, Object.values(columns));
        await trx
          .insertInto('audit')
          .values({ seq, ...columns, hash })
          .execute();
        if (row.phase === 'open') {
          await trx.insertInto('open_request').values({ request: row.request, seq }).execute();
        } else if (row.phase === 'close') {
          await trx.deleteFrom('open_request').where('request', '=', row.request).execute();
        }
      }
      return { seq, hash };
    });
  }

  /** Requests without a closing row, oldest first. */
  async open(): Promise<readonly AuditRow[]> {
    const rows = await this.#db
      .selectFrom('open_request')
      .innerJoin('audit', 'audit.seq', 'open_request.seq')
      .selectAll('audit')
      .execute();
    return rows.map((row) => ({
      at: row.at,
      phase: row.phase,
      request: row.request,
      principal: row.principal,
      principalId: row.principal_id ?? undefined,
      key: row.key ?? undefined,
      address: row.address ?? undefined,
      door: row.door,
      action: row.action,
      target: row.target ?? undefined,
      targetId: row.target_id ?? undefined,
      outcome: row.outcome,
      detail: JSON.parse(row.detail),
    }));
  }

  /** A stretch of the chain behind `seq`, oldest first. */
  async rows(seq: number, limit: number): Promise<readonly RawAuditRow[]> {
    return this.#db
      .selectFrom('audit')
      .selectAll()
      .where('seq', '>', seq)
      .orderBy('seq')
      .limit(limit)
      .execute();
  }

  /** The hash of one row; undefined where there is none. */
  async hashAt(seq: number): Promise<string | undefined> {
    const query = this.#db.selectFrom('audit').select('hash').where('seq', '=', seq);
    return (await query.executeTakeFirst())?.hash;
  }
}

/** The hash that a row must have behind the one before it. */
export function expectedHash(previous: string, { seq, hash: _, ...columns }: RawAuditRow): string {
  return chainHash(previous, seq, Object.values(columns));
}

function toColumns(row: AuditRow) {
  return {
    at: row.at,
    phase: row.phase,
    request: row.request,
    principal: row.principal,
    principal_id: row.principalId ?? null,
    key: row.key ?? null,
    address: row.address ?? null,
    door: row.door,
    action: row.action,
    target: row.target ?? null,
    target_id: row.targetId ?? null,
    outcome: row.outcome,
    detail: JSON.stringify(row.detail),
  };
}
