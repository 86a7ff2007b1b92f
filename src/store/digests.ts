import type { Kysely, Transaction } from 'kysely';
import { nullOid, type RefCommand } from '../model/ref.ts';
import { emptySum, moveSum } from '../model/sync-refs.ts';
import { recordedValues } from './ref-updates.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** A repository whose state changed, as another server is told of it. */
export interface Digested {
  readonly repoId: string;
  /** The sum of its refs. @see moveSum */
  readonly digest: string;
  /** The number of its last change that another server has to know of. */
  readonly seq: number;
}

/** A place in the change log; `stamp` tells whether the log is still the one that the place was read from. */
export interface LogPlace {
  /** The log's own id, made with the database. */
  readonly epoch: string;
  readonly seq: number;
  readonly stamp: string;
}

/** What stands in place of a sum that nobody has asked for yet. @see changes.ts */
const uncounted = '';

/** The state of each repository as one number, which moves with the refs themselves, in the same transaction. */
export class Digests {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The sum of a repository's refs as they are on record. */
  async of(repoId: string): Promise<string> {
    const row = await this.#db
      .selectFrom('repo_digest')
      .select('digest')
      .where('repo_id', '=', repoId)
      .executeTakeFirst();
    if (row !== undefined && row.digest !== uncounted) return row.digest;
    return this.#db.transaction().execute(async (trx) => {
      const digest = await counted(trx, repoId);
      await trx.updateTable('repo_digest').set({ digest }).where('repo_id', '=', repoId).execute();
      return digest;
    });
  }

  /** What changed behind a number, in the order of these numbers; a page ends with all that have the last one's. */
  async after(seq: number, limit: number): Promise<readonly Digested[]> {
    const first = await this.#page(seq, limit);
    const last = first.at(-1)?.seq;
    if (last === undefined || first.length < limit) return first;
    const same = await this.#db
      .selectFrom('repo_digest')
      .select(['repo_id as repoId', 'digest', 'seq'])
      .where('seq', '=', last)
      .execute();
    return [...first.filter((each) => each.seq !== last), ...same];
  }

  #page(seq: number, limit: number) {
    return this.#db
      .selectFrom('repo_digest')
      .select(['repo_id as repoId', 'digest', 'seq'])
      .where('seq', '>', seq)
      .orderBy('seq')
      .limit(limit)
      .execute();
  }

  /** What the files of a repository's refs looked like last; empty before the first look. */
  async disk(repoId: string): Promise<string> {
    const row = await this.#db
      .selectFrom('repo_digest')
      .select('disk')
      .where('repo_id', '=', repoId)
      .executeTakeFirst();
    return row?.disk ?? '';
  }

  async noteDisk(repoId: string, disk: string): Promise<void> {
    await this.#db.updateTable('repo_digest').set({ disk }).where('repo_id', '=', repoId).execute();
  }

  /** The place of a change in the log. */
  async at(epoch: string, seq: number): Promise<LogPlace> {
    return { epoch, seq, stamp: await this.#stamp(seq) };
  }

  async #stamp(seq: number): Promise<string> {
    const row = await this.#db
      .selectFrom('change')
      .select('request')
      .where('seq', '=', seq)
      .executeTakeFirst();
    return row?.request ?? '';
  }

  /** Where the change log ends now. */
  async place(): Promise<LogPlace> {
    const { value: epoch } = await this.#db
      .selectFrom('meta')
      .select('value')
      .where('key', '=', 'sync_epoch')
      .executeTakeFirstOrThrow();
    const last = await this.#db
      .selectFrom('change')
      .select('seq')
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
    return this.at(epoch, last?.seq ?? 0);
  }

  /** Whether a place lies in this log: not in that of a copy that went another way since. */
  async holds({ epoch, seq, stamp }: LogPlace): Promise<boolean> {
    const now = await this.place();
    if (epoch !== now.epoch || seq > now.seq) return false;
    return (await this.#stamp(seq)) === stamp;
  }
}

/** Moves the digest of a repository along with its refs. For the transaction that moves them, before it does. */
export async function moveDigest(
  trx: Transaction<Tables>,
  repoId: string,
  done: readonly RefCommand[],
): Promise<void> {
  const after = new Map(done.map((command) => [command.ref, command.new]));
  const before = await recordedValues(trx, repoId, [...after.keys()]);
  const held = await trx
    .selectFrom('repo_digest')
    .select('digest')
    .where('repo_id', '=', repoId)
    .executeTakeFirst();
  const sum = held?.digest || (await counted(trx, repoId));
  const moves = [...after].map(([ref, next]) => ({
    ref,
    old: before.get(ref) ?? nullOid,
    new: next,
  }));
  const digest = moveSum(sum, moves);
  await trx
    .insertInto('repo_digest')
    .values({ repo_id: repoId, digest, seq: 0 })
    .onConflict((on) => on.column('repo_id').doUpdateSet({ digest }))
    .execute();
}

async function counted(db: Kysely<Tables>, repoId: string): Promise<string> {
  const rows = await db
    .selectFrom('ref_value')
    .select(['ref', 'oid'])
    .where('repo_id', '=', repoId)
    .execute();
  return moveSum(
    emptySum,
    rows.map(({ ref, oid }) => ({ ref, old: nullOid, new: oid })),
  );
}
