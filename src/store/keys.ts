import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import { fingerprint as fingerprintOf, type PublicKey } from '../model/sshkey.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import { refuseServerKey } from './server-keys.ts';
import type { Database } from './sqlite.ts';

/** What a pending key's owner signs is the hexadecimal text of as many random bytes (S20). */
const nonceBytes = 32;

export type KeyState = 'active' | 'pending' | 'expired' | 'revoked';

export interface Key {
  readonly id: string;
  readonly fingerprint: string;
  readonly type: string;
  readonly blob: Buffer;
  readonly title: string;
  readonly kind: 'user' | 'deploy';
  readonly userId: string | undefined;
  readonly state: KeyState;
  readonly expiresAt: string | undefined;
  readonly addedAt: string;
  readonly addedBy: string;
  readonly lastUsedAt: string | undefined;
}

export interface NewKey {
  readonly key: PublicKey & { readonly comment: string };
  readonly userId: string;
  /** False for a key whose owner must still show that it has the private half (S4). */
  readonly verified: boolean;
  readonly title?: string | undefined;
  readonly expiresAt?: string | undefined;
}

interface KeyRow {
  id: string;
  fingerprint: string;
  type: string;
  blob: Buffer;
  title: string;
  kind: 'user' | 'deploy';
  user_id: string | null;
  verified: number;
  expires_at: string | null;
  added_at: string;
  added_by: string;
  last_used_at: string | null;
  revoked_at: string | null;
}

export class Keys {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * The key that may sign in with this blob, if it is in force now: one look-up by the blob's SHA-256, then the bytes compared.
   */
  async inForce(fingerprint: string, blob: Buffer): Promise<Key | undefined> {
    const row = await this.#db
      .selectFrom('ssh_key')
      .selectAll()
      .where('fingerprint', '=', fingerprint)
      .where('verified', '=', sql.lit(1))
      .executeTakeFirst();
    if (row === undefined || !row.blob.equals(blob)) return undefined;
    const key = toKey(row);
    return key.state === 'active' ? key : undefined;
  }

  async byId(id: string): Promise<Key | undefined> {
    const row = await this.#db
      .selectFrom('ssh_key')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst();
    return row && toKey(row);
  }

  /** The user's key with this fingerprint; pending ones too. */
  async ofUser(userId: string, fingerprint: string): Promise<Key | undefined> {
    const row = await this.#db
      .selectFrom('ssh_key')
      .selectAll()
      .where('fingerprint', '=', fingerprint)
      .where('user_id', '=', userId)
      .orderBy('verified', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row && toKey(row);
  }

  /** The verified key with this fingerprint, whoever's it is. */
  async byFingerprint(fingerprint: string): Promise<Key | undefined> {
    const row = await this.#db
      .selectFrom('ssh_key')
      .selectAll()
      .where('fingerprint', '=', fingerprint)
      .orderBy('verified', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row && toKey(row);
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

  /** @returns the key's id, and whether it was added now. @throws UserError `conflict` */
  async add(key: NewKey, by: Actor): Promise<{ id: string; changed: boolean }> {
    return write(this.#db, by, (w) => insertKey(w, by, key));
  }

  /**
   * Revokes keys and all that were added with them (S3).
   *
   * @returns the ids of the keys that ended now
   */
  async revoke(
    what: { keyId: string } | { userId: string },
    by: Actor,
  ): Promise<readonly string[]> {
    return write(this.#db, by, (w) => revokeKeys(w, what));
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

  /** Puts a pending key in force. @throws UserError `conflict` when somebody else's became so meanwhile */
  async verify(key: Key, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await refuseTaken(w, key.fingerprint, key.userId ?? '');
      const { numUpdatedRows } = await w.trx
        .updateTable('ssh_key')
        .set({ verified: 1, challenge: null })
        .where('id', '=', key.id)
        .where('revoked_at', 'is', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) {
        throw new UserError('conflict', `key ${key.fingerprint} was revoked meanwhile`);
      }
      const detail = { fingerprint: key.fingerprint };
      await w.log({ type: 'key-verified', subjectId: key.id, detail });
    });
  }
}

async function refuseTaken(
  w: Write,
  fingerprint: string,
  userId: string,
): Promise<KeyRow | undefined> {
  const held = await w.trx
    .selectFrom('ssh_key')
    .selectAll()
    .where('fingerprint', '=', fingerprint)
    .where('verified', '=', sql.lit(1))
    .executeTakeFirst();
  if (held === undefined) return refuseServerKey(w, fingerprint);
  if (held.revoked_at !== null) {
    throw new UserError('conflict', `key ${fingerprint} was revoked and is never accepted again`, {
      hint: 'make a new one with: ssh-keygen -t ed25519',
    });
  }
  if (held.kind === 'user' && held.user_id === userId) return held;
  throw new UserError('conflict', `key ${fingerprint} is in use already`, {
    hint: 'a key belongs to one user, or is one deploy key: make a new one with ssh-keygen -t ed25519',
  });
}

/** @see Keys.add */
export async function insertKey(
  w: Write,
  by: Actor,
  { key, userId, verified, title, expiresAt }: NewKey,
): Promise<{ id: string; changed: boolean }> {
  const fingerprint = fingerprintOf(key.blob);
  const held = await refuseTaken(w, fingerprint, userId);
  if (held !== undefined) return { id: held.id, changed: false };
  const pending = await w.trx
    .selectFrom('ssh_key')
    .selectAll()
    .where('fingerprint', '=', fingerprint)
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  if (pending !== undefined) {
    if (!verified) return { id: pending.id, changed: false };
    const settled = {
      verified: 1,
      challenge: null,
      title: title ?? pending.title,
      expires_at: expiresAt ?? pending.expires_at,
    };
    await w.trx.updateTable('ssh_key').set(settled).where('id', '=', pending.id).execute();
    await w.log({ type: 'key-verified', subjectId: pending.id, detail: { fingerprint } });
    return { id: pending.id, changed: true };
  }
  const id = newId();
  await w.trx
    .insertInto('ssh_key')
    .values({
      id,
      fingerprint,
      type: key.type,
      blob: key.blob,
      title: title ?? key.comment,
      kind: 'user',
      user_id: userId,
      verified: Number(verified),
      challenge: verified ? null : randomBytes(nonceBytes).toString('hex'),
      expires_at: expiresAt ?? null,
      added_at: w.now,
      added_by: by.principal,
      added_by_key: by.keyId ?? null,
      last_used_at: null,
      revoked_at: null,
    })
    .execute();
  await w.log({ type: 'key-added', subjectId: id, detail: { fingerprint, user: userId } });
  return { id, changed: true };
}

/** @see Keys.revoke */
export async function revokeKeys(
  w: Write,
  what: { keyId: string } | { userId: string },
): Promise<readonly string[]> {
  const found = await w.trx
    .withRecursive('doomed(id)', (cte) =>
      cte
        .selectFrom('ssh_key')
        .select('id')
        .where(
          'keyId' in what ? 'ssh_key.id' : 'ssh_key.user_id',
          '=',
          'keyId' in what ? what.keyId : what.userId,
        )
        .union(
          cte
            .selectFrom('doomed')
            .innerJoin('ssh_key as child', 'child.added_by_key', 'doomed.id')
            .select('child.id'),
        ),
    )
    .selectFrom('doomed')
    .innerJoin('ssh_key', 'ssh_key.id', 'doomed.id')
    .select(['ssh_key.id', 'ssh_key.fingerprint'])
    .where('ssh_key.revoked_at', 'is', null)
    .execute();
  for (const { id, fingerprint } of found) {
    await w.trx.updateTable('ssh_key').set({ revoked_at: w.now }).where('id', '=', id).execute();
    await w.log({ type: 'key-revoked', subjectId: id, detail: { fingerprint } });
  }
  return found.map(({ id }) => id);
}

function toKey(row: KeyRow): Key {
  return {
    id: row.id,
    fingerprint: row.fingerprint,
    type: row.type,
    blob: row.blob,
    title: row.title,
    kind: row.kind,
    userId: row.user_id ?? undefined,
    state: keyState(row),
    expiresAt: row.expires_at ?? undefined,
    addedAt: row.added_at,
    addedBy: row.added_by,
    lastUsedAt: row.last_used_at ?? undefined,
  };
}

function keyState(row: KeyRow): KeyState {
  if (row.revoked_at !== null) return 'revoked';
  if (row.verified === 0) return 'pending';
  const ended = row.expires_at !== null && row.expires_at <= new Date().toISOString();
  return ended ? 'expired' : 'active';
}
