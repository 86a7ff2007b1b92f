import type { Principal } from '../model/principal.ts';
import { checkBlob, fingerprint, type PublicKey } from '../model/sshkey.ts';
import type { Store } from '../store/store.ts';

/** Whose key a blob is now. */
export interface Identified extends PublicKey {
  readonly principal: Principal;
  /** What connections are counted by. */
  readonly user: string;
  /** When the key ends, in milliseconds since 1970. */
  readonly endsAt?: number;
}

/**
 * Finds who may sign in with a key: by its fingerprint, then its bytes.
 *
 * @returns undefined for a key that is unknown, pending, revoked or ended, or whose owner is not active
 */
export async function identifyKey(store: Store, blob: Buffer): Promise<Identified | undefined> {
  const key = await store.keys.inForce(fingerprint(blob), blob);
  if (await isShut(store, key?.userId)) return undefined;
  if (key === undefined) return identifyServer(store, blob);
  const ends = key.expiresAt === undefined ? {} : { endsAt: Date.parse(key.expiresAt) };
  const { id: keyId, fingerprint: keyFingerprint } = key;
  if (key.userId === undefined) {
    const principal = { kind: 'deploy-key', keyId, fingerprint: keyFingerprint } as const;
    return { ...checkBlob(key.blob), principal, user: keyId, ...ends };
  }
  const user = await store.users.byId(key.userId);
  if (user?.state !== 'active') return undefined;
  return {
    ...checkBlob(key.blob),
    principal: {
      kind: 'user',
      id: user.id,
      name: user.name,
      keyId,
      fingerprint: keyFingerprint,
    },
    user: user.id,
    ...ends,
  };
}

/**
 * After a restore only site admins sign in, until the list of keys was confirmed: a key that was revoked since the backup
 * must not come back to life (S31).
 */
async function isShut(store: Store, userId: string | undefined): Promise<boolean> {
  if ((await store.restored.pending()) === undefined) return false;
  const user = userId === undefined ? undefined : await store.users.byId(userId);
  return user?.admin !== true;
}

async function identifyServer(store: Store, blob: Buffer): Promise<Identified | undefined> {
  const found = await store.servers.byKey(blob);
  if (found === undefined) return identifyInvitee(store, blob);
  const { server, key } = found;
  return {
    ...checkBlob(key.blob),
    principal: {
      kind: 'server',
      id: server.id,
      name: server.name,
      keyId: key.id,
      fingerprint: key.fingerprint,
    },
    user: server.id,
  };
}

async function identifyInvitee(store: Store, blob: Buffer): Promise<Identified | undefined> {
  const found = await store.invitations.byKey(blob);
  if (found === undefined) return undefined;
  const { id, name } = found;
  const print = fingerprint(blob);
  return {
    ...checkBlob(blob),
    principal: { kind: 'invitee', id, name, keyId: id, fingerprint: print },
    user: id,
    endsAt: Date.parse(found.expiresAt),
  };
}
