import type { Database } from './sqlite.ts';

/** One row of the change log. */
export interface LoggedChange {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly principal: string;
  readonly repoId: string | undefined;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** What `write` of changes.ts has logged, for those who follow it. */
export class ChangeLog {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Rows behind a number, oldest first: in the order of their commits, for there is one writer at a time. */
  async after(seq: number, limit: number): Promise<readonly LoggedChange[]> {
    const rows = await this.#db
      .selectFrom('change')
      .select(['seq', 'at', 'type', 'principal', 'repo_id', 'detail'])
      .where('seq', '>', seq)
      .orderBy('seq')
      .limit(limit)
      .execute();
    return rows.map(({ repo_id, detail, ...row }) => ({
      ...row,
      repoId: repo_id ?? undefined,
      detail: JSON.parse(detail),
    }));
  }

  /** The number of the newest row; 0 without any. */
  async newest(): Promise<number> {
    const row = await this.#db
      .selectFrom('change')
      .select('seq')
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row?.seq ?? 0;
  }

  /** @returns the function that takes the listener away again. @param listener - called after each commit */
  onCommit(listener: () => void): () => void {
    return this.#db.onChange(listener);
  }
}
