import type { Database } from './sqlite.ts';

/** Something that the log says and that is still to be done on the disk. */
export interface Wish {
  readonly rank: number;
  readonly subject: string;
  /** JSON; undefined where the subject is gone. */
  readonly body: string | undefined;
}

/** What logs of other servers say and only the disk can follow: names of directories, repositories, purges. */
export class Wishes {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** What is still to be done on the disk, in an order in which it can be. */
  async of(serverId: string, limit: number): Promise<readonly Wish[]> {
    const rows = await this.#db
      .selectFrom('followed_wish')
      .select(['rank', 'subject', 'body'])
      .where('server_id', '=', serverId)
      .orderBy('rank')
      .orderBy('subject')
      .limit(limit)
      .execute();
    return rows.map(({ body, ...row }) => ({ ...row, body: body ?? undefined }));
  }

  /** Whether something is still to be done. */
  async any(serverId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('followed_wish')
      .select('subject')
      .where('server_id', '=', serverId)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** A wish was carried out, unless another one has come in its place. */
  async fulfilled(serverId: string, { rank, subject, body }: Wish): Promise<void> {
    await this.#db
      .deleteFrom('followed_wish')
      .where('server_id', '=', serverId)
      .where('rank', '=', rank)
      .where('subject', '=', subject)
      .where('body', body === undefined ? 'is' : '=', body ?? null)
      .execute();
  }

  /** A wish could not be carried out yet. */
  async refused(serverId: string, { rank, subject }: Wish, error: string): Promise<void> {
    await this.#db
      .updateTable('followed_wish')
      .set({ error })
      .where('server_id', '=', serverId)
      .where('rank', '=', rank)
      .where('subject', '=', subject)
      .execute();
  }
}
