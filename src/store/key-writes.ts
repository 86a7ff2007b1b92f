import { randomBytes } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import { fingerprint as fingerprintOf, type PublicKey } from '../model/sshkey.ts';
import { type Actor, newId, type Write } from './changes.ts';
import type { KeyRow } from './key-rows.ts';
import { refuseServerKey } from './server-keys.ts';
import type { Tables } from './tables.ts';

/** What a pending key's owner signs is the hexadecimal text of as many random bytes (S20). */
const nonceBytes = 32;

/** A key to be added; who adds it is the actor. */
export interface NewKey {
  readonly key: PublicKey & { readonly comment: string };
  /** Undefined for a deploy key, which belongs to nobody. */
  readonly userId: string | undefined;
  /** False for a key whose owner must still show that it has the private half (S4). */
  readonly verified: boolean;
  readonly title?: string | undefined;
  readonly expiresAt?: string | undefined;
}

/** What revoking one key, or all of a user's, is about. */
export type Revoked = { readonly keyId: string } | { readonly userId: string };

/**
 * The verified key of these bytes, where it is one of the same owner's.
 *
 * @throws UserError `conflict` when it is somebody else's, or was revoked (S3)
 */
export async function refuseTaken(
  w: Write,
  fingerprint: string,
  userId: string | undefined,
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
  if (held.user_id === (userId ?? null)) return held;
  throw new UserError('conflict', `key ${fingerprint} is in use already`, {
    hint: 'a key belongs to one user, or is one deploy key: make a new one with ssh-keygen -t ed25519',
  });
}

/** A key adds none that lasts longer than itself (S3). @throws UserError `denied` */
export async function refuseOutliving(
  { trx }: Write,
  by: Actor,
  expiresAt: string | null | undefined,
): Promise<void> {
  if (by.keyId === undefined) return;
  const mine = await trx
    .selectFrom('ssh_key')
    .select('expires_at')
    .where('id', '=', by.keyId)
    .executeTakeFirst();
  const end = mine?.expires_at ?? undefined;
  if (end === undefined || (expiresAt != null && expiresAt <= end)) return;
  throw new UserError(
    'denied',
    `the key you signed in with ends at ${end}: it can't add one that lasts longer`,
    { hint: `add it with: sshkey add - --expires ${end}; or sign in with another key` },
  );
}

/**
 * Adds a key, or puts the same owner's pending one in force.
 *
 * @returns the key's id, and whether anything changed
 * @throws UserError `conflict` when the blob is taken, `denied` when it would outlive the key that adds it
 */
export async function insertKey(
  w: Write,
  by: Actor,
  added: NewKey,
): Promise<{ id: string; changed: boolean }> {
  const { key, userId, verified, title, expiresAt } = added;
  const fingerprint = fingerprintOf(key.blob);
  const held = await refuseTaken(w, fingerprint, userId);
  if (held !== undefined) return { id: held.id, changed: false };
  const pending = await pendingOf(w, by, { fingerprint, userId });
  if (pending !== undefined && !verified) return { id: pending.id, changed: false };
  const adding = {
    title: title ?? pending?.title ?? key.comment,
    expires_at: expiresAt ?? pending?.expires_at ?? null,
    added_at: w.now,
    added_by: by.principal,
    added_by_key: by.keyId ?? null,
  };
  await refuseOutliving(w, by, adding.expires_at);
  if (pending !== undefined) {
    const now = { ...adding, verified: 1, challenge: null };
    await w.trx.updateTable('ssh_key').set(now).where('id', '=', pending.id).execute();
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
      kind: userId === undefined ? 'deploy' : 'user',
      user_id: userId ?? null,
      verified: Number(verified),
      challenge: verified ? null : randomBytes(nonceBytes).toString('hex'),
      ...adding,
    })
    .execute();
  await w.log({ type: 'key-added', subjectId: id, detail: { fingerprint, user: userId ?? null } });
  return { id, changed: true };
}

/** The pending key of these bytes: of the user, or the deploy key that the same person added. */
async function pendingOf(
  { trx }: Write,
  by: Actor,
  { fingerprint, userId }: { fingerprint: string; userId: string | undefined },
): Promise<{ id: string; title: string; expires_at: string | null } | undefined> {
  const pending = trx
    .selectFrom('ssh_key')
    .select(['id', 'title', 'expires_at'])
    .where('fingerprint', '=', fingerprint)
    .where('verified', '=', sql.lit(0))
    .where('revoked_at', 'is', null);
  const mine =
    userId === undefined
      ? pending.where('kind', '=', 'deploy').where('added_by', '=', by.principal)
      : pending.where('user_id', '=', userId);
  return mine.executeTakeFirst();
}

/** Keys and all that were added with them, and so on, those that are revoked already too. */
export async function family(db: Kysely<Tables>, what: Revoked) {
  return db
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
    .select(['ssh_key.id', 'ssh_key.fingerprint', 'ssh_key.revoked_at'])
    .execute();
}

/**
 * Revokes keys, all that were added with them, and what they let deploy keys do (S3).
 *
 * @returns the ids of the keys that ended now
 */
export async function revokeKeys(w: Write, what: Revoked): Promise<readonly string[]> {
  const all = await family(w.trx, what);
  const ended = all.filter(({ revoked_at }) => revoked_at === null);
  for (const { id, fingerprint } of ended) {
    await w.trx.updateTable('ssh_key').set({ revoked_at: w.now }).where('id', '=', id).execute();
    await w.log({ type: 'key-revoked', subjectId: id, detail: { fingerprint } });
  }
  for (const { id } of all) await unbindMadeWith(w, id);
  return ended.map(({ id }) => id);
}

/** Takes back what a revoked key let other deploy keys do; a key that is revoked itself keeps its bindings, to be looked up. */
async function unbindMadeWith(w: Write, keyId: string): Promise<void> {
  const gone = await w.trx
    .deleteFrom('access_grant')
    .where('granted_by_key', '=', keyId)
    .where('who_kind', '=', 'key')
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('ssh_key')
          .select('ssh_key.id')
          .whereRef('ssh_key.id', '=', 'access_grant.who_id')
          .where('ssh_key.revoked_at', 'is', null),
      ),
    )
    .returning(['on_kind', 'on_id', 'who_id'])
    .execute();
  for (const { on_kind, on_id, who_id } of gone) {
    const subject = on_kind === 'repo' ? { repoId: on_id } : { subjectId: on_id };
    await w.log({ type: 'access-revoked', ...subject, detail: { who: `key:${who_id}` } });
  }
}
