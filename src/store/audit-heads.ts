import type { AuditHead } from './audit.ts';
import type { Database } from './sqlite.ts';

/** A head of the chain that the server's signing key has signed. */
export interface SignedHead extends AuditHead {
  readonly at: string;
  /** SSHSIG, armoured. */
  readonly signature: string;
}

/** As many as a day of minutes has. */
const headsKept = 1440;

/** Signed heads of the chain, and the signed checkpoint that it goes on from once older rows were dropped. */
export class AuditHeads {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Keeps a head and lets go of those that are too many. */
  async add({ at, seq, hash, signature }: SignedHead): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      const { id } = await trx
        .insertInto('audit_signed_head')
        .values({ at, seq, hash, signature })
        .returning('id')
        .executeTakeFirstOrThrow();
      await trx
        .deleteFrom('audit_signed_head')
        .where('id', '<=', id - headsKept)
        .execute();
    });
  }

  /** The one signed last. */
  async last(): Promise<SignedHead | undefined> {
    return this.#select().orderBy('id', 'desc').limit(1).executeTakeFirst();
  }

  /** Those behind a number of the chain, by their numbers. */
  async behind(seq: number): Promise<readonly SignedHead[]> {
    return this.#select().where('seq', '>', seq).orderBy('seq').execute();
  }

  #select() {
    return this.#db.selectFrom('audit_signed_head').select(['at', 'seq', 'hash', 'signature']);
  }

  /** Where the chain begins now; undefined while nothing was dropped. */
  async checkpoint(): Promise<SignedHead | undefined> {
    return this.#db
      .selectFrom('audit_checkpoint')
      .selectAll()
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
  }

  /** Drops the rows up to a checkpoint, which takes the place of the one before. */
  async dropUpTo(checkpoint: SignedHead): Promise<void> {
    const { seq, hash, at, signature } = checkpoint;
    await this.#db.transaction().execute(async (trx) => {
      await trx.deleteFrom('audit_checkpoint').execute();
      await trx.insertInto('audit_checkpoint').values({ seq, hash, at, signature }).execute();
      await trx.deleteFrom('audit').where('seq', '<=', seq).execute();
    });
  }

  /** The number of the oldest request that is still open. */
  async oldestOpen(): Promise<number | undefined> {
    const row = await this.#db
      .selectFrom('open_request')
      .select((eb) => eb.fn.min('seq').as('seq'))
      .executeTakeFirst();
    return row?.seq ?? undefined;
  }
}
