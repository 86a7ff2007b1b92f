import { sql, type Transaction } from 'kysely';
import {
  type ChangeEntry,
  entryText,
  genesis,
  type LogPosition,
  sha256,
} from '../model/change-entry.ts';
import { bodyOf } from './log-bodies.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

type Trx = Transaction<Tables>;

/** An update of a ref as the change log has it; `n` is its number on the server that it was made on. */
export type UpdateBody = Pick<
  Tables['ref_update'],
  'ref' | 'old_oid' | 'new_oid' | 'at' | 'principal' | 'key_id' | 'action' | 'request'
> & { readonly n: number; readonly forced: number; readonly purged: number };

/** More of a repository's history: what was added to it, the oldest first. */
export interface HistoryBody {
  /** Whether it is the beginning of all that the log has of it. */
  readonly first: boolean;
  readonly updates: readonly UpdateBody[];
}

/** Subjects that one transaction publishes, and updates of refs that one entry has. */
const subjectsAtOnce = 100;
const updatesAtOnce = 500;

/** What signs an entry's text. */
export type Sign = (text: string) => string;

/**
 * This server's own change log. State changes mark their subjects in the transaction that makes them (migration 013);
 * entries are made when somebody reads, so that a push signs nothing.
 */
export class ChangeEntries {
  readonly #db: Database;
  readonly #origin: string;

  constructor(db: Database, houseId: string) {
    this.#db = db;
    this.#origin = houseId;
  }

  /** The last entry, of what is published. */
  async head(): Promise<LogPosition> {
    return headOf(this.#db, this.#origin);
  }

  /** Whether anything changed since the last entry was made. */
  async isDue(): Promise<boolean> {
    const row = await this.#db.selectFrom('log_dirty').select('rank').limit(1).executeTakeFirst();
    return row !== undefined;
  }

  /** Makes entries of what changed. @returns whether there may be more */
  async publish(sign: Sign): Promise<boolean> {
    return this.#db.transaction().execute(async (trx) => {
      const dirty = await trx
        .selectFrom('log_dirty')
        .selectAll()
        .orderBy('rank')
        .orderBy('subject')
        .limit(subjectsAtOnce)
        .execute();
      let head = await headOf(trx, this.#origin);
      for (const { rank, subject } of dirty) {
        const { body, more } = await nextBody(trx, subject);
        if (body !== undefined) head = await append(trx, head, { subject, body, sign });
        if (more) continue;
        await trx
          .deleteFrom('log_dirty')
          .where('rank', '=', rank)
          .where('subject', '=', subject)
          .execute();
      }
      return dirty.length > 0;
    });
  }

  /** Entries behind a number, in their order. */
  async after(seq: number, limit: number): Promise<readonly ChangeEntry[]> {
    const rows = await this.#db
      .selectFrom('log_entry')
      .selectAll()
      .where('seq', '>', seq)
      .orderBy('seq')
      .limit(limit)
      .execute();
    return rows.map(({ body, body_hash: bodyHash, ...row }) => ({
      ...row,
      body: body ?? undefined,
      bodyHash,
    }));
  }

  /** The hash of an entry; undefined where there is none of this number. */
  async hashAt(seq: number): Promise<string | undefined> {
    if (seq === 0) return genesis;
    const row = await this.#db
      .selectFrom('log_entry')
      .select('hash')
      .where('seq', '=', seq)
      .executeTakeFirst();
    return row?.hash;
  }

  /** Notes how far another server has read this log. */
  async read(serverId: string, seq: number): Promise<void> {
    const row = { seq, at: new Date().toISOString() };
    await this.#db
      .insertInto('log_reader')
      .values({ server_id: serverId, ...row })
      .onConflict((on) => on.column('server_id').doUpdateSet(row))
      .execute();
  }

  /** Who reads this log, and lacks something of it. */
  async behind(): Promise<readonly string[]> {
    const { seq } = await this.head();
    const all = await this.isDue();
    const rows = await this.#db.selectFrom('log_reader').selectAll().execute();
    return rows.filter((row) => all || row.seq < seq).map(({ server_id }) => server_id);
  }
}

/**
 * Forgets all entries and marks every subject: the log tells the whole state once more, under a higher epoch, as after a
 * restore from a copy, and where it has more to tell than before by a new lead.
 */
export async function beginAnew(trx: Trx): Promise<void> {
  await setCount(trx, 'log_epoch', (await countOf(trx, 'log_epoch')) + 1);
  for (const table of ['log_entry', 'log_subject', 'log_history'] as const) {
    await trx.deleteFrom(table).execute();
  }
  const marks = [
    sql`SELECT 1, 'user:' || id FROM user`,
    sql`SELECT 2, 'key:' || id FROM ssh_key`,
    sql`SELECT 3, 'org:' || id FROM org`,
    sql`SELECT 4, 'members:' || id FROM org`,
    sql`SELECT 5, 'repo:' || id FROM repository`,
    sql`SELECT DISTINCT 6, 'grants:' || on_id FROM access_grant`,
    sql`SELECT 7, 'rules:' || on_id FROM ref_rule_count`,
    sql`SELECT DISTINCT 8, 'history:' || repo_id FROM ref_update`,
    sql`SELECT 9, 'purge:' || repo_id || ':' || oid FROM purge`,
    sql`SELECT 9, 'audit'`,
  ];
  for (const rows of marks) {
    await sql`INSERT OR IGNORE INTO log_dirty (rank, subject) ${rows}`.execute(trx);
  }
}

/** The counts that the log's place is told by: `log_term` and `log_epoch`; both begin with 1. */
export async function countOf(db: Pick<Database, 'selectFrom'>, key: string): Promise<number> {
  const row = await db.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst();
  return Number(row?.value ?? 1);
}

export async function setCount(trx: Trx, key: string, to: number): Promise<void> {
  await trx
    .insertInto('meta')
    .values({ key, value: String(to) })
    .onConflict((on) => on.column('key').doUpdateSet({ value: String(to) }))
    .execute();
}

async function headOf(db: Pick<Database, 'selectFrom'>, origin: string): Promise<LogPosition> {
  const last = await db
    .selectFrom('log_entry')
    .select(['seq', 'hash'])
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  const [term, epoch] = [await countOf(db, 'log_term'), await countOf(db, 'log_epoch')];
  return { origin, term, epoch, seq: last?.seq ?? 0, hash: last?.hash ?? genesis };
}

/** What is to be published of a subject; no body where it is as it was, or another server's to tell. */
async function nextBody(
  trx: Trx,
  subject: string,
): Promise<{ readonly body: string | undefined; readonly more: boolean }> {
  const [kind = '', id = ''] = subject.split(':');
  const ofRepo = ['repo', 'grants', 'rules', 'history', 'purge'].includes(kind);
  if (ofRepo && (await isMirror(trx, id))) return { body: undefined, more: false };
  if (kind === 'history') return nextHistory(trx, id);
  const body = JSON.stringify((await bodyOf(trx, subject)) ?? null);
  const before = await trx
    .selectFrom('log_subject')
    .select('body_hash')
    .where('subject', '=', subject)
    .executeTakeFirst();
  const same = before === undefined ? body === 'null' : before.body_hash === sha256(body);
  return { body: same ? undefined : body, more: false };
}

async function isMirror(trx: Trx, repoId: string): Promise<boolean> {
  const row = await trx
    .selectFrom('server_link')
    .innerJoin('server', 'server.id', 'server_link.server_id')
    .select('server.id')
    .where('server_link.repo_id', '=', repoId)
    .where('server_link.born_there', '=', sql.lit(1))
    .where('server.role', '=', sql.lit('main'))
    .executeTakeFirst();
  return row !== undefined;
}

async function nextHistory(trx: Trx, repoId: string) {
  const sent = await trx
    .selectFrom('log_history')
    .select('last_id')
    .where('repo_id', '=', repoId)
    .executeTakeFirst();
  const rows = await trx
    .selectFrom('ref_update')
    .select(['id', 'ref', 'old_oid', 'new_oid', 'at', 'principal', 'key_id', 'action', 'request'])
    .select(['forced', 'purged'])
    .where('repo_id', '=', repoId)
    .where('id', '>', sent?.last_id ?? 0)
    .orderBy('id')
    .limit(updatesAtOnce)
    .execute();
  const last = rows.at(-1);
  if (last === undefined) return { body: undefined, more: false };
  await trx
    .insertInto('log_history')
    .values({ repo_id: repoId, last_id: last.id })
    .onConflict((on) => on.column('repo_id').doUpdateSet({ last_id: last.id }))
    .execute();
  const updates = rows.map(({ id: n, ...row }) => ({ n, ...row }));
  const body: HistoryBody = { first: sent === undefined, updates };
  return { body: JSON.stringify(body), more: rows.length === updatesAtOnce };
}

async function append(
  trx: Trx,
  head: LogPosition,
  { subject, body, sign }: { subject: string; body: string; sign: Sign },
): Promise<LogPosition> {
  const { origin, term, epoch } = head;
  const [seq, bodyHash] = [head.seq + 1, sha256(body)];
  const previous = head.hash;
  const text = entryText(origin, { term, epoch, seq, previous, subject, bodyHash });
  const hash = sha256(text);
  const at = new Date().toISOString();
  const row = { seq, term, epoch, at, previous, subject, body, body_hash: bodyHash, hash };
  await trx
    .insertInto('log_entry')
    .values({ ...row, signature: sign(text) })
    .execute();
  // Every part of a history counts; of all else the last word.
  if (!subject.startsWith('history:')) await supersede(trx, { subject, seq, bodyHash });
  return { ...head, seq, hash };
}

async function supersede(
  trx: Trx,
  { subject, seq, bodyHash }: { subject: string; seq: number; bodyHash: string },
): Promise<void> {
  const before = await trx
    .selectFrom('log_subject')
    .select('seq')
    .where('subject', '=', subject)
    .executeTakeFirst();
  if (before !== undefined) {
    await trx.updateTable('log_entry').set({ body: null }).where('seq', '=', before.seq).execute();
  }
  await trx
    .insertInto('log_subject')
    .values({ subject, seq, body_hash: bodyHash })
    .onConflict((on) => on.column('subject').doUpdateSet({ seq, body_hash: bodyHash }))
    .execute();
}
