import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import type Sqlite from 'better-sqlite3';
import { UserError } from '../model/errors.ts';

/** A numbered change of the schema; numbers count up from 1. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/**
 * Brings a database up to the newest schema. Each migration runs in one transaction, after a copy of the file as it was
 * (`cpm.db.before-N`); a new database needs no copy.
 *
 * @param path - the database's file
 * @throws UserError `unavailable` when the database is newer than all of them
 */
export function migrate(
  sqlite: Sqlite.Database,
  path: string,
  migrations: readonly Migration[],
): void {
  const at = sqlite.pragma('user_version', { simple: true }) as number;
  const known = migrations.at(-1)?.number ?? 0;
  if (at > known) {
    throw new UserError(
      'unavailable',
      `the database is at schema ${at}, this version of cpm knows up to ${known}`,
      { hint: `run the newer cpm, or put the copy ${path}.before-${known + 1} in its place` },
    );
  }
  for (const { number, sql } of migrations.filter((each) => each.number > at)) {
    if (at > 0) backUp(sqlite, `${path}.before-${number}`);
    sqlite.transaction(() => {
      sqlite.exec(sql);
      sqlite.pragma(`user_version = ${number}`);
    })();
  }
}

/** The copy gets its name only once it is whole: a crash in between must not leave half of one that passes for it. */
function backUp(sqlite: Sqlite.Database, copy: string): void {
  const staged = `${copy}.new`;
  rmSync(staged, { force: true });
  sqlite.prepare('VACUUM INTO ?').run(staged);
  chmodSync(staged, 0o600);
  const file = openSync(staged, 'r');
  fsyncSync(file);
  closeSync(file);
  renameSync(staged, copy);
}
