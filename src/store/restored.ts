import { beginAnew } from './change-entries.ts';
import { type Actor, newId, write } from './changes.ts';
import type { Database } from './sqlite.ts';

const pendingKey = 'restored_unconfirmed';
const lastKey = 'restored_from';

/** What a data directory that came out of a backup has to remember. */
export class Restored {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The backup whose list of keys nobody has confirmed yet: until then only site admins sign in (S31). */
  async pending(): Promise<string | undefined> {
    return this.#meta(pendingKey);
  }

  /** The backup that this data directory came out of last. */
  async from(): Promise<string | undefined> {
    return this.#meta(lastKey);
  }

  async #meta(key: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('meta')
      .select('value')
      .where('key', '=', key)
      .executeTakeFirst();
    return row?.value;
  }

  /**
   * Notes that all this came out of a backup. Epochs rise: whoever followed the changes of the server that it is a copy
   * of has to compare anew, and takes nothing for known.
   */
  async begin(backupId: string, confirmed: boolean, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      const put = (key: string, value: string) =>
        w.trx
          .insertInto('meta')
          .values({ key, value })
          .onConflict((on) => on.column('key').doUpdateSet({ value }))
          .execute();
      await put(lastKey, backupId);
      await put('sync_epoch', newId());
      await beginAnew(w.trx);
      if (!confirmed) await put(pendingKey, backupId);
      await w.log({ type: 'restored', detail: { backup: backupId, confirmed } });
    });
  }

  /** Everybody's keys count again. @returns whether they did not */
  async confirm(by: Actor): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const { numDeletedRows } = await w.trx
        .deleteFrom('meta')
        .where('key', '=', pendingKey)
        .executeTakeFirst();
      if (numDeletedRows === 0n) return false;
      await w.log({ type: 'keys-confirmed' });
      return true;
    });
  }
}
