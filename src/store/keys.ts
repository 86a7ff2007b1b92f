import { type SelectQueryBuilder, sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import { type Actor, type Write, write } from './changes.ts';
import { compiled } from './compiled.ts';
import { copyBindings } from './deploy-keys.ts';
import { type Key, type KeyRow, toKey } from './key-rows.ts';
import {
  family,
  insertKey,
  type NewKey,
  type Revoked,
  refuseOutliving,
  refuseTaken,
  revokeKeys,
} from './key-writes.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** A key that takes another's place. */
export interface NextKey extends Omit<NewKey, 'userId'> {
  /** How long the old key stays in force beside it. */
  readonly overlapMs: number;
}

/** What putting a key in force, or in another's place, came to. */
export interface Succession {
  /** The key that ends now or soon, because this one takes its place. */
  readonly ends: { readonly keyId: string; readonly at: string } | undefined;
}

const keyById = (db: Database) =>
  compiled(db, (id: string) => db.selectFrom('ssh_key').selectAll().where('id', '=', id));

const verifiedKey = (db: Database) =>
  compiled(db, (fingerprint: string) =>
    db
      .selectFrom('ssh_key')
      .selectAll()
      .where('fingerprint', '=', fingerprint)
      .where('verified', '=', sql.lit(1)),
  );

export class Keys {
  readonly #db: Database;
  readonly #byId: ReturnType<typeof keyById>;
  readonly #verified: ReturnType<typeof verifiedKey>;

  constructor(db: Database) {
    this.#db = db;
    this.#byId = keyById(db);
    this.#verified = verifiedKey(db);
  }

  /**
   * The key that may sign in with this blob, if it is in force now: one look-up by the blob's SHA-256, then the bytes compared.
   */
  async inForce(fingerprint: string, blob: Buffer): Promise<Key | undefined> {
    const [row] = await this.#verified(fingerprint);
    if (row === undefined || !row.blob.equals(blob)) return undefined;
    const key = toKey(row);
    return key.state === 'active' ? key : undefined;
  }

  async byId(id: string): Promise<Key | undefined> {
    const [row] = await this.#byId(id);
    return row && toKey(row);
  }

  /** The user's key with this fingerprint; pending ones too. */
  async ofUser(userId: string, fingerprint: string): Promise<Key | undefined> {
    const [key] = await this.#select((query) =>
      query.where('fingerprint', '=', fingerprint).where('user_id', '=', userId),
    );
    return key;
  }

  /** Every key with this fingerprint: the verified one first, then what is pending, revoked ones last. */
  async withFingerprint(fingerprint: string): Promise<readonly Key[]> {
    return this.#select((query) => query.where('fingerprint', '=', fingerprint));
  }

  /** Fingerprints of keys that are not revoked, in their order. @param start - what they begin with */
  async beginning(start: string, limit: number): Promise<readonly string[]> {
    const rows = await this.#db
      .selectFrom('ssh_key')
      .select('fingerprint')
      .distinct()
      .where('fingerprint', '>=', start)
      // Behind every character that a fingerprint has.
      .where('fingerprint', '<', `${start}~`)
      .where('revoked_at', 'is', null)
      .orderBy('fingerprint')
      .limit(limit)
      .execute();
    return rows.map(({ fingerprint }) => fingerprint);
  }

  async listOf(userId: string): Promise<readonly Key[]> {
    const rows = await this.#db
      .selectFrom('ssh_key')
      .selectAll()
      .where('user_id', '=', userId)
      .orderBy('added_at')
      .execute();
    return rows.map(toKey);
  }

  /** The keys that this key added. */
  async addedWith(keyId: string): Promise<readonly Key[]> {
    return this.#select((query) => query.where('added_by_key', '=', keyId));
  }

  /**
   * Keys in force that nobody has signed in with since `before`, the longest unused first; a page of them.
   *
   * @param userId - one user's; undefined for everybody's and the deploy keys
   */
  async unused(
    { before, userId }: { before: string; userId: string | undefined },
    { after, limit }: { after: Key | undefined; limit: number },
  ): Promise<readonly Key[]> {
    const used = sql<string>`coalesce(last_used_at, added_at)`;
    let query = this.#db
      .selectFrom('ssh_key')
      .selectAll()
      .where('verified', '=', sql.lit(1))
      .where('revoked_at', 'is', null)
      .where((eb) =>
        eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', new Date().toISOString())]),
      )
      .where(used, '<', before);
    if (userId !== undefined) query = query.where('user_id', '=', userId);
    if (after !== undefined) {
      const last = after.lastUsedAt ?? after.addedAt;
      query = query.where(sql<boolean>`(${used}, id) > (${last}, ${after.id})`);
    }
    const rows = await query.orderBy(used).orderBy('id').limit(limit).execute();
    return rows.map(toKey);
  }

  /** @returns the key's id, and whether it was added now. @throws UserError `conflict` */
  async add(key: NewKey, by: Actor): Promise<{ id: string; changed: boolean }> {
    return write(this.#db, by, (w) => insertKey(w, by, key));
  }

  /**
   * Revokes keys and all that were added with them (S3).
   *
   * @returns the ids of the keys that ended now
   */
  async revoke(what: Revoked, by: Actor): Promise<readonly string[]> {
    return write(this.#db, by, (w) => revokeKeys(w, what));
  }

  /** The ids of keys and of all that were added with them, in whatever state. */
  async family(what: Revoked): Promise<readonly string[]> {
    return (await family(this.#db, what)).map(({ id }) => id);
  }

  /** The text a pending key's owner is to sign. */
  async challenge(keyId: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('ssh_key')
      .select('challenge')
      .where('id', '=', keyId)
      .executeTakeFirst();
    return row?.challenge ?? undefined;
  }

  /** Puts a pending key in force. @throws UserError `conflict` when the blob became somebody's meanwhile */
  async verify(key: Key, by: Actor): Promise<Succession> {
    return write(this.#db, by, async (w) => {
      if ((await refuseTaken(w, key.fingerprint, key.userId)) !== undefined) {
        throw new UserError('conflict', `key ${key.fingerprint} is in force already`, {
          hint: 'add it once more: it needs no proof now',
        });
      }
      const { numUpdatedRows } = await w.trx
        .updateTable('ssh_key')
        .set({ verified: 1, challenge: null })
        .where('id', '=', key.id)
        .where('revoked_at', 'is', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) {
        throw new UserError('conflict', `key ${key.fingerprint} was revoked meanwhile`);
      }
      const { fingerprint } = key;
      await w.log({ type: 'key-verified', subjectId: key.id, detail: { fingerprint } });
      return { ends: await succeed(w, key.id) };
    });
  }

  /**
   * Puts a new key in an old one's place, with its owner and what it may do; a pending one takes it once it is verified.
   *
   * @throws UserError `conflict` when the old one is not in force, or the new one taken
   */
  async replace(
    old: Key,
    { overlapMs, ...next }: NextKey,
    by: Actor,
  ): Promise<{ id: string; changed: boolean } & Succession> {
    return write(this.#db, by, async (w) => {
      const added = await insertKey(w, by, { ...next, userId: old.userId });
      if (added.id === old.id) {
        throw new UserError('conflict', `${old.fingerprint} can't take its own place`);
      }
      const { numUpdatedRows } = await w.trx
        .updateTable('ssh_key')
        .set({ replaces: old.id, overlap_ms: overlapMs })
        .where('id', '=', added.id)
        .where((eb) => eb.or([eb('replaces', 'is', null), eb('replaces', '<>', old.id)]))
        .executeTakeFirst();
      const row = await w.trx
        .selectFrom('ssh_key')
        .select(['verified', 'expires_at'])
        .where('id', '=', added.id)
        .executeTakeFirstOrThrow();
      // One that was there before gets the old one's place too, and with it what that one may do.
      await refuseOutliving(w, by, row.expires_at);
      const ends = row.verified === 1 ? await succeed(w, added.id) : undefined;
      const changed = added.changed || numUpdatedRows > 0n || ends !== undefined;
      return { id: added.id, changed, ends };
    });
  }

  async #select(
    narrow: (
      query: SelectQueryBuilder<Tables, 'ssh_key', KeyRow>,
    ) => SelectQueryBuilder<Tables, 'ssh_key', KeyRow>,
  ): Promise<readonly Key[]> {
    const query = narrow(this.#db.selectFrom('ssh_key').selectAll());
    return (await query.execute()).map(toKey).sort(inOrder);
  }
}

/** The verified first, then what is pending, revoked ones last; the older first. */
function inOrder(a: Key, b: Key): number {
  const rank = ({ state }: Key) => (state === 'revoked' ? 2 : state === 'pending' ? 1 : 0);
  return rank(a) - rank(b) || (a.addedAt < b.addedAt ? -1 : 1);
}

/** A key that came in force takes the place of the one that it replaces. @returns which one ends, and when */
async function succeed(w: Write, keyId: string): Promise<Succession['ends']> {
  const next = await w.trx
    .selectFrom('ssh_key')
    .select(['replaces', 'overlap_ms', 'fingerprint'])
    .where('id', '=', keyId)
    .executeTakeFirstOrThrow();
  if (next.replaces === null) return undefined;
  await copyBindings(w, next.replaces, keyId);
  const at = new Date(Date.parse(w.now) + (next.overlap_ms ?? 0)).toISOString();
  const { numUpdatedRows } = await w.trx
    .updateTable('ssh_key')
    .set({ expires_at: at })
    .where('id', '=', next.replaces)
    .where('revoked_at', 'is', null)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', at)]))
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return undefined;
  const detail = { by: next.fingerprint, at };
  await w.log({ type: 'key-replaced', subjectId: next.replaces, detail });
  return { keyId: next.replaces, at };
}
