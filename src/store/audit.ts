import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import type { Database } from './sqlite.ts';

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

/** A request's two rows, or a note's one, joined under the first one's number. */
export interface AuditEntry {
  readonly seq: number;
  readonly at: string;
  readonly principal: string;
  readonly key: string | undefined;
  readonly address: string | undefined;
  readonly door: string;
  readonly action: string;
  readonly target: string | undefined;
  readonly outcome: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface AuditFilter {
  readonly principal?: string | undefined;
  readonly targetId?: string | undefined;
  readonly key?: string | undefined;
  readonly address?: string | undefined;
  readonly action?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly limit: number;
}

/** One link of the chain, as `verify` reads it. */
export interface AuditLink {
  readonly seq: number;
  readonly fields: readonly (string | null)[];
  readonly hash: string;
}

/** Written into the query: SQLite takes a partial index only where it sees the index's own condition. */
const closing = sql.lit('close' as const);

const genesis = '0'.repeat(64);

/**
 * The hash of a row: SHA-256 over the JSON array of the previous hash, the number and the row's columns in the table's order.
 * The table and this line are all that an independent verifier needs.
 */
export function chainHash(
  previous: string,
  seq: number,
  fields: readonly (string | null)[],
): string {
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
    return row ?? { seq: 0, hash: genesis };
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
      ...toEntry(row),
      phase: row.phase,
      request: row.request,
      principalId: row.principal_id ?? undefined,
      targetId: row.target_id ?? undefined,
    }));
  }

  /** Newest first; with `targetId`, those that have ended, by their end. */
  async list(filter: AuditFilter): Promise<readonly AuditEntry[]> {
    const { principal, targetId, key, address, action, since, until } = filter;
    let query = this.#db
      .selectFrom('audit')
      .leftJoin('audit as end', (join) =>
        join.onRef('end.request', '=', 'audit.request').on('end.phase', '=', closing),
      )
      .selectAll('audit')
      .select(['end.outcome as end_outcome', 'end.detail as end_detail'])
      .where('audit.phase', '<>', closing);
    // A request's target is known by its id only once it has been looked up: the closing row has it.
    if (targetId !== undefined) query = query.where('end.target_id', '=', targetId);
    // Both rows have the rest; the one that the index finds is asked.
    const row = targetId === undefined ? 'audit' : 'end';
    if (principal !== undefined) query = query.where(`${row}.principal` as const, '=', principal);
    if (key !== undefined) query = query.where(`${row}.key` as const, '=', key);
    if (address !== undefined) query = query.where(`${row}.address` as const, '=', address);
    if (action !== undefined) query = query.where(`${row}.action` as const, '=', action);
    if (since !== undefined) query = query.where(`${row}.at` as const, '>=', since);
    if (until !== undefined) query = query.where(`${row}.at` as const, '<', until);
    const rows = await query.orderBy(orderOf(filter), 'desc').limit(filter.limit).execute();
    return rows.map((row) => ({
      ...toEntry(row),
      outcome: row.end_outcome ?? row.outcome,
      detail: { ...JSON.parse(row.detail), ...JSON.parse(row.end_detail ?? '{}') },
    }));
  }

  /** A stretch of the chain behind `seq`, oldest first. */
  async links(seq: number, limit: number): Promise<readonly AuditLink[]> {
    const rows = await this.#db
      .selectFrom('audit')
      .selectAll()
      .where('seq', '>', seq)
      .orderBy('seq')
      .limit(limit)
      .execute();
    return rows.map(({ seq: number, hash, ...columns }) => ({
      seq: number,
      fields: Object.values(columns),
      hash,
    }));
  }
}

/** The newest first, by the column that ends the index which finds the rows, so that nothing is sorted. */
function orderOf(filter: AuditFilter): 'end.seq' | 'audit.seq' | 'audit.at' {
  const { limit, since, until, targetId, ...others } = filter;
  if (targetId !== undefined) return 'end.seq';
  const onlyByTime = Object.values(others).every((value) => value === undefined);
  return onlyByTime && (since ?? until) !== undefined ? 'audit.at' : 'audit.seq';
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

function toEntry(row: {
  seq: number;
  at: string;
  principal: string;
  key: string | null;
  address: string | null;
  door: string;
  action: string;
  target: string | null;
  outcome: string;
  detail: string;
}): AuditEntry {
  return {
    seq: row.seq,
    at: row.at,
    principal: row.principal,
    key: row.key ?? undefined,
    address: row.address ?? undefined,
    door: row.door,
    action: row.action,
    target: row.target ?? undefined,
    outcome: row.outcome,
    detail: JSON.parse(row.detail),
  };
}
