import { chmodSync, closeSync, fsyncSync, openSync } from 'node:fs';
import Sqlite from 'better-sqlite3';

/** A repository as a copy of the database has it. */
export interface CopiedRepository {
  readonly id: string;
  readonly isTrashed: boolean;
}

/** What a copy of a database holds, as far as a backup has to know. */
export interface CopiedDatabase {
  /** What SQLite finds wrong with it; empty for a whole one. */
  readonly faults: readonly string[];
  readonly repositories: readonly CopiedRepository[];
}

/** Copies a database that is in use, as of one moment, into a file of its own, 0600 and durable. */
export async function copyDatabase(from: Sqlite.Database, path: string): Promise<void> {
  await from.backup(path);
  chmodSync(path, 0o600);
  const copy = new Sqlite(path);
  // One file alone: what is carried elsewhere must not miss a log beside it.
  copy.pragma('journal_mode = DELETE');
  copy.close();
  const file = openSync(path, 'r');
  fsyncSync(file);
  closeSync(file);
}

/** Looks a copy through without changing it. */
export function inspectCopy(path: string): CopiedDatabase {
  let copy: Sqlite.Database;
  try {
    copy = new Sqlite(path, { readonly: true, fileMustExist: true });
  } catch (error) {
    return { faults: [(error as Error).message], repositories: [] };
  }
  try {
    const found = copy.pragma('integrity_check(20)') as { integrity_check: string }[];
    const faults = found.map((row) => row.integrity_check).filter((text) => text !== 'ok');
    const rows = copy.prepare('SELECT id, deleted_at FROM repository ORDER BY id').all() as {
      id: string;
      deleted_at: string | null;
    }[];
    const repositories = rows.map((row) => ({ id: row.id, isTrashed: row.deleted_at !== null }));
    return { faults, repositories };
  } catch (error) {
    return { faults: [(error as Error).message], repositories: [] };
  } finally {
    copy.close();
  }
}
