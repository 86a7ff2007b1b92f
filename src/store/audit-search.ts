import { type SelectQueryBuilder, sql } from 'kysely';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

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

/** What entries must have; of several values, one. */
export interface AuditFilter {
  readonly principals?: readonly string[] | undefined;
  readonly targetId?: string | undefined;
  readonly key?: string | undefined;
  readonly addresses?: readonly string[] | undefined;
  readonly action?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
}

/** A stretch of the chain by its numbers: behind `above`, up to and with `upTo`. */
export interface Stretch {
  readonly above: number;
  readonly upTo: number;
}

/** An entry's place in the order of time. */
export type Moment = Pick<AuditEntry, 'at' | 'seq'>;

/** Written into the query: SQLite takes a partial index only where it sees the index's own condition. */
const closing = sql.lit('close' as const);

type Joined = SelectQueryBuilder<
  Tables & { end: Tables['audit'] },
  'audit' | 'end',
  Tables['audit'] & { end_outcome: string | null; end_detail: string | null }
>;

/** Looks through the record, in pieces whose size the caller sets, so that no look-up takes long. */
export class AuditSearch {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** What of a stretch the filter lets through, newest first; with `targetId`, requests that have ended, by their end. */
  async within(
    { above, upTo }: Stretch,
    filter: AuditFilter,
    limit: number,
  ): Promise<readonly AuditEntry[]> {
    const { principals, targetId, key, addresses, action, since, until } = filter;
    let query = this.#joined();
    // A request's target is known by its id only once it has been looked up: the closing row has it.
    if (targetId !== undefined) query = query.where('end.target_id', '=', targetId);
    // Both rows have the rest; the one that the index finds is asked.
    const row = targetId === undefined ? 'audit' : 'end';
    const seq = `${row}.seq` as const;
    query = query.where(seq, '>', above).where(seq, '<=', upTo);
    if (principals !== undefined) query = query.where(`${row}.principal`, 'in', principals);
    if (key !== undefined) query = query.where(`${row}.key`, '=', key);
    if (addresses !== undefined) query = query.where(`${row}.address`, 'in', addresses);
    if (action !== undefined) query = query.where(`${row}.action`, '=', action);
    // The sign keeps SQLite from the index of times, which knows nothing of the stretch.
    const at = sql<string>`+${sql.ref(`${row}.at`)}`;
    if (since !== undefined) query = query.where(at, '>=', since);
    if (until !== undefined) query = query.where(at, '<', until);
    const rows = await query.orderBy(seq, 'desc').limit(limit).execute();
    return rows.map(toEntry);
  }

  /** Entries of a time, newest first, from behind the given one on; whatever they are about. */
  async before(
    moment: Moment | undefined,
    { since, until }: Pick<AuditFilter, 'since' | 'until'>,
    limit: number,
  ): Promise<readonly AuditEntry[]> {
    let query = this.#joined();
    if (since !== undefined) query = query.where('audit.at', '>=', since);
    if (until !== undefined) query = query.where('audit.at', '<', until);
    if (moment !== undefined) {
      query = query.where((eb) =>
        eb(eb.refTuple('audit.at', 'audit.seq'), '<', eb.tuple(moment.at, moment.seq)),
      );
    }
    const rows = await query
      .orderBy('audit.at', 'desc')
      .orderBy('audit.seq', 'desc')
      .limit(limit)
      .execute();
    return rows.map(toEntry);
  }

  #joined(): Joined {
    return this.#db
      .selectFrom('audit')
      .leftJoin('audit as end', (join) =>
        join.onRef('end.request', '=', 'audit.request').on('end.phase', '=', closing),
      )
      .selectAll('audit')
      .select(['end.outcome as end_outcome', 'end.detail as end_detail'])
      .where('audit.phase', '<>', closing) as unknown as Joined;
  }
}

function toEntry(
  row: Tables['audit'] & { end_outcome: string | null; end_detail: string | null },
): AuditEntry {
  return {
    seq: row.seq,
    at: row.at,
    principal: row.principal,
    key: row.key ?? undefined,
    address: row.address ?? undefined,
    door: row.door,
    action: row.action,
    target: row.target ?? undefined,
    outcome: row.end_outcome ?? row.outcome,
    detail: { ...JSON.parse(row.detail), ...JSON.parse(row.end_detail ?? '{}') },
  };
}
