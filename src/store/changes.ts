import { randomUUID } from 'node:crypto';
import type { Transaction } from 'kysely';
import { refuseFollowed } from './followed.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** Who changes something, and in which request; written into the change log with the fact. */
export interface Actor {
  /** The contract's text: `user:ana`, `operator`. */
  readonly principal: string;
  /** The key that signed the request. */
  readonly keyId: string | undefined;
  readonly request: string;
  /** Everything is checked and done, and then taken back. */
  readonly dryRun: boolean;
  /** It carries out what another server's change log says, which is not to be changed here otherwise. */
  readonly isImport?: true;
  /** Decides anew before the first write of a request: it may have waited since it was decided. @throws UserError */
  stillMay?(): Promise<void>;
}

export interface Change {
  readonly type: string;
  readonly repoId?: string;
  /** The id of the user, org, key or grant concerned. */
  readonly subjectId?: string;
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** A transaction that can also write to the change log. */
export interface Write {
  readonly trx: Transaction<Tables>;
  readonly now: string;
  log(...changes: readonly Change[]): Promise<void>;
}

class Rehearsed extends Error {
  readonly result: unknown;

  constructor(result: unknown) {
    super('dry run');
    this.result = result;
  }
}

/**
 * Runs `work` in one transaction, in which it writes facts and their change rows together.
 * In a dry run the transaction is rolled back after `work` succeeded, and its result returned all the same.
 */
export async function write<T>(
  db: Database,
  by: Actor,
  work: (write: Write) => Promise<T>,
): Promise<T> {
  await by.stillMay?.();
  let logged = false;
  try {
    const done = await db.transaction().execute(async (trx) => {
      const now = new Date().toISOString();
      const log = async (...changes: readonly Change[]) => {
        logged = true;
        if (by.isImport !== true) await refuseFollowed(trx, changes);
        await logChanges(trx, by, now, changes);
      };
      const result = await work({ trx, now, log });
      if (by.dryRun) throw new Rehearsed(result);
      return result;
    });
    if (logged) db.changed();
    return done;
  } catch (error) {
    if (error instanceof Rehearsed) return error.result as T;
    throw error;
  }
}

async function logChanges(
  trx: Transaction<Tables>,
  by: Actor,
  at: string,
  changes: readonly Change[],
): Promise<void> {
  const rows = changes.map((change) => ({
    at,
    type: change.type,
    principal: by.principal,
    request: by.request,
    repo_id: change.repoId ?? null,
    subject_id: change.subjectId ?? null,
    detail: JSON.stringify(change.detail ?? {}),
  }));
  await inBatches(rows, (batch) => trx.insertInto('change').values(batch).execute());
}

const batchRows = 250;

/** Writes many rows with few statements, and lets others have the loop in between. */
export async function inBatches<T>(
  rows: readonly T[],
  insert: (batch: readonly T[]) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < rows.length; at += batchRows) {
    if (at > 0) await new Promise(setImmediate);
    await insert(rows.slice(at, at + batchRows));
  }
}

/** Ids are random and never reused (S5). */
export function newId(): string {
  return randomUUID();
}
