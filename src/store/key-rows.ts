import type { Selectable } from 'kysely';
import type { Tables } from './tables.ts';

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
  /** The key that it takes the place of, once it is in force. */
  readonly replaces: string | undefined;
}

/** A key as the table has it. */
export type KeyRow = Selectable<Tables['ssh_key']>;

/** A row as a key, with its state at this moment. */
export function toKey(row: KeyRow): Key {
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
    replaces: row.replaces ?? undefined,
  };
}

function keyState(row: KeyRow): KeyState {
  if (row.revoked_at !== null) return 'revoked';
  if (row.verified === 0) return 'pending';
  const ended = row.expires_at !== null && row.expires_at <= new Date().toISOString();
  return ended ? 'expired' : 'active';
}
