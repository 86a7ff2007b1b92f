import type { SqliteDatabase, SqliteStatement } from 'kysely';

/** Enough for all that a sign-in, a decision and a record ask; some 10 KB of SQLite's memory each. */
const kept = 64;

/**
 * A database that prepares a text it has seen lately no second time: to prepare one cost five times as much as to run it,
 * and left so much to collect that one decision in a hundred waited for the collector.
 */
export class PreparedDatabase implements SqliteDatabase {
  readonly #database: SqliteDatabase;
  /** The one used last comes last. */
  readonly #statements = new Map<string, SqliteStatement>();

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  /** @returns a statement that is at rest: a query has read all its rows before another one may ask for it */
  prepare(sql: string): SqliteStatement {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.delete(sql);
    this.#statements.set(sql, statement);
    if (this.#statements.size > kept) {
      const [oldest = ''] = this.#statements.keys();
      this.#statements.delete(oldest);
    }
    return statement;
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }
}
