import type { Transaction } from 'kysely';
import type { LoggedChange } from './change-log.ts';
import { inBatches } from './changes.ts';
import type { Database } from './sqlite.ts';
import type { Pair } from './syncs.ts';
import type { Tables } from './tables.ts';

/** A repository that two servers may have otherwise, and in which direction it is to be carried. */
export interface MarkKey extends Pair {
  /** `out`: they lack something of ours; `in`: we of theirs. */
  readonly direction: 'out' | 'in';
}

/** Stands in the place of a repository for the log of changes that a backup follows. */
export const logMark = 'log';

/** What is to be marked. */
export interface NewMark extends MarkKey {
  /** The number of the change that made it so, in the log of the server that has it. */
  readonly seq: number;
  /** What the repository is called; the id of one that is not here yet is the other server's. */
  readonly name: string;
}

/** A mark stays until a run that began after its last change has ended well. */
export interface Mark extends NewMark {
  /** ISO 8601: since when. */
  readonly since: string;
  /** A person has to allow it. */
  readonly held: boolean;
  /** How often in a row it failed. */
  readonly attempts: number;
  /** ISO 8601: it is not tried before; empty for at once. */
  readonly nextAt: string;
  readonly error: string | undefined;
}

/** A row of the change log, with what else it is about. */
export interface LoggedSubject extends LoggedChange {
  readonly subjectId: string | undefined;
}

/** So many changes may be read again after a crash. */
const mostUnwritten = 1000;

/** What lacks where. It is all that a crash must not lose: a run that was cut off finds its mark again. */
export class SyncMarks {
  readonly #db: Database;
  /** The last change that was read; what is written down may be older, and is read again after a crash. */
  #scanned: number | undefined;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Marks repositories, or notes that marked ones changed again: those are tried at once. */
  async put(marks: readonly NewMark[]): Promise<void> {
    if (marks.length === 0) return;
    await this.#db.transaction().execute(async (trx) => {
      await putAll(trx, marks);
    });
  }

  /**
   * Reads what was logged since the last time and marks what comes of it, as one.
   *
   * @param marksOf - what some changes mark
   * @returns how many changes were read; fewer than `limit` at the end of the log
   */
  async scan(
    limit: number,
    marksOf: (changes: readonly LoggedSubject[]) => Promise<readonly NewMark[]>,
  ): Promise<number> {
    const from = this.#scanned ?? (await this.#written());
    const rows = await this.#db
      .selectFrom('change')
      .select(['seq', 'at', 'type', 'principal', 'repo_id', 'subject_id', 'detail'])
      .where('seq', '>', from)
      .orderBy('seq')
      .limit(limit)
      .execute();
    const last = rows.at(-1)?.seq;
    if (last === undefined) return 0;
    const changes = rows.map(({ repo_id, subject_id, detail, ...row }) => ({
      ...row,
      repoId: repo_id ?? undefined,
      subjectId: subject_id ?? undefined,
      detail: JSON.parse(detail),
    }));
    const marks = await marksOf(changes);
    // Where nothing comes of them, to write that down would cost a push a commit more.
    const noted = marks.length > 0 || last - (await this.#written()) >= mostUnwritten;
    if (noted) {
      await this.#db.transaction().execute(async (trx) => {
        await putAll(trx, marks);
        await trx
          .updateTable('meta')
          .set({ value: String(last) })
          .where('key', '=', 'sync_scanned')
          .execute();
      });
    }
    this.#scanned = last;
    return rows.length;
  }

  async #written(): Promise<number> {
    const { value } = await this.#db
      .selectFrom('meta')
      .select('value')
      .where('key', '=', 'sync_scanned')
      .executeTakeFirstOrThrow();
    return Number(value);
  }

  /**
   * Whether a server has marks whose time has come.
   *
   * @param latest - no pause ends after it, ISO 8601: one that says so is over
   */
  async isDue(
    serverId: string,
    { now, latest }: { readonly now: string; readonly latest: string },
  ): Promise<boolean> {
    const row = await this.#db
      .selectFrom('sync_mark')
      .select('repo_id')
      .where('server_id', '=', serverId)
      .where((eb) => eb.or([eb('next_at', '<=', now), eb('next_at', '>', latest)]))
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** How many there are, and how many of them are held. */
  async counts(): Promise<{ readonly pending: number; readonly held: number }> {
    const row = await this.#db
      .selectFrom('sync_mark')
      .select((eb) => [
        eb.fn.countAll<number>().as('pending'),
        eb.fn.coalesce(eb.fn.sum<number>('held'), eb.lit(0)).as('held'),
      ])
      .executeTakeFirstOrThrow();
    return { pending: row.pending, held: Number(row.held) };
  }

  /** All marks of a server. */
  async of(serverId: string): Promise<readonly Mark[]> {
    const rows = await this.#db
      .selectFrom('sync_mark')
      .selectAll()
      .where('server_id', '=', serverId)
      .execute();
    return rows.map(toMark);
  }

  async find({ serverId, repoId, direction }: MarkKey): Promise<Mark | undefined> {
    const row = await this.#db
      .selectFrom('sync_mark')
      .selectAll()
      .where('server_id', '=', serverId)
      .where('repo_id', '=', repoId)
      .where('direction', '=', direction)
      .executeTakeFirst();
    return row && toMark(row);
  }

  /** All marks of a repository. */
  async ofRepo(repoId: string): Promise<readonly Mark[]> {
    const rows = await this.#db
      .selectFrom('sync_mark')
      .selectAll()
      .where('repo_id', '=', repoId)
      .execute();
    return rows.map(toMark);
  }

  /** A run ended well: the mark goes, unless something changed since the run looked at it. */
  async done(mark: Mark): Promise<void> {
    await this.#db
      .deleteFrom('sync_mark')
      .where('server_id', '=', mark.serverId)
      .where('repo_id', '=', mark.repoId)
      .where('direction', '=', mark.direction)
      .where('seq', '=', mark.seq)
      .execute();
  }

  /** A run failed, or was held; what changed since is tried all the same. */
  async failed(
    mark: Mark,
    how: { readonly error: string; readonly held: boolean; readonly nextAt: string },
  ): Promise<void> {
    await this.#db
      .updateTable('sync_mark')
      .set({
        error: how.error,
        held: Number(how.held),
        attempts: mark.attempts + 1,
        next_at: how.nextAt,
      })
      .where('server_id', '=', mark.serverId)
      .where('repo_id', '=', mark.repoId)
      .where('direction', '=', mark.direction)
      .where('seq', '=', mark.seq)
      .execute();
  }

  /** All marks of a server are tried at once. */
  async tryNow(serverId: string): Promise<void> {
    await this.#db
      .updateTable('sync_mark')
      .set({ next_at: '' })
      .where('server_id', '=', serverId)
      .execute();
  }

  /** The marks of a server that wait for longer, and not for a person, are tried then. @param at - ISO 8601 */
  async tryBy(serverId: string, at: string): Promise<void> {
    await this.#db
      .updateTable('sync_mark')
      .set({ next_at: at })
      .where('server_id', '=', serverId)
      .where('next_at', '>', at)
      .where('held', '=', 0)
      .execute();
  }

  /** Takes the marks of a repository away, with one server or with all. */
  async drop({ repoId, serverId }: { repoId: string; serverId?: string }): Promise<void> {
    const all = this.#db.deleteFrom('sync_mark').where('repo_id', '=', repoId);
    await (serverId === undefined ? all : all.where('server_id', '=', serverId)).execute();
  }
}

async function putAll(trx: Transaction<Tables>, marks: readonly NewMark[]): Promise<void> {
  const now = new Date().toISOString();
  await inBatches(marks, (batch) =>
    trx
      .insertInto('sync_mark')
      .values(
        batch.map(({ serverId, repoId, direction, seq, name }) => ({
          server_id: serverId,
          repo_id: repoId,
          direction,
          seq,
          name,
          since: now,
          held: 0,
          attempts: 0,
          next_at: '',
          error: null,
        })),
      )
      .onConflict((on) =>
        on.columns(['server_id', 'repo_id', 'direction']).doUpdateSet((eb) => ({
          seq: eb.ref('excluded.seq'),
          name: eb.ref('excluded.name'),
          held: 0,
          next_at: '',
        })),
      )
      .execute(),
  );
}

function toMark(row: Tables['sync_mark']): Mark {
  return {
    serverId: row.server_id,
    repoId: row.repo_id,
    direction: row.direction,
    seq: row.seq,
    name: row.name,
    since: row.since,
    held: row.held === 1,
    attempts: row.attempts,
    nextAt: row.next_at,
    error: row.error ?? undefined,
  };
}
