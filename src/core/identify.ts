import type { Principal, ServerPrincipal } from '../model/principal.ts';
import { checkBlob, fingerprint, type PublicKey } from '../model/sshkey.ts';
import type { OpenInvitation } from '../store/invitations.ts';
import type { Key } from '../store/key-rows.ts';
import type { Server, ServerKey } from '../store/servers.ts';
import type { Store } from '../store/store.ts';

/** Whose key a blob is now. */
export interface Identified extends PublicKey {
  readonly principal: Principal;
  /** What connections are counted by. */
  readonly user: string;
  /** When the key ends, in milliseconds since 1970. */
  readonly endsAt?: number;
}

/** What a sign-in looks at. */
export type SignInStore = Pick<Store, 'keys' | 'users' | 'servers' | 'invitations' | 'restored'>;

/**
 * Finds who may sign in with a key: by its fingerprint, then its bytes.
 *
 * @returns undefined for a key that is unknown, pending, revoked or ended, or whose owner is not active
 */
export async function identifyKey(
  store: SignInStore,
  blob: Buffer,
): Promise<Identified | undefined> {
  const key = await store.keys.inForce(fingerprint(blob), blob);
  if (await isShut(store, key?.userId)) return undefined;
  if (key === undefined) return identifyServer(store, blob);
  const owner = await ownerOf(store, key);
  if (owner?.state !== 'active') return undefined;
  const { state: _active, ...rest } = owner;
  return { ...checkBlob(key.blob), ...rest };
}

/**
 * Finds whose key this is that somebody else has verified a signature of, whatever has become of it since: what it may
 * is decided for each request.
 *
 * @param keyId - a UUID
 * @returns undefined for one that never was, or whose owner is gone
 */
export async function principalOfKey(
  store: SignInStore,
  keyId: string,
): Promise<Omit<Identified, 'type' | 'blob'> | undefined> {
  const key = await store.keys.byId(keyId);
  if (key !== undefined) return ownerOf(store, key);
  const found = await store.servers.byKeyId(keyId);
  if (found !== undefined) return { principal: serverPrincipal(found), user: found.server.id };
  const invited = await store.invitations.open(keyId);
  return invited && invitee(invited);
}

async function ownerOf({ users }: SignInStore, key: Key) {
  const { id: keyId, fingerprint, userId, expiresAt } = key;
  const ends = expiresAt === undefined ? {} : { endsAt: Date.parse(expiresAt) };
  if (userId === undefined) {
    const principal = { kind: 'deploy-key', keyId, fingerprint } as const;
    return { principal, user: keyId, state: 'active', ...ends } as const;
  }
  const user = await users.byId(userId);
  if (user === undefined) return undefined;
  const { id, name, state } = user;
  const principal = { kind: 'user', id, name, keyId, fingerprint } as const;
  return { principal, user: id, state, ...ends } as const;
}

/**
 * After a restore only site admins sign in, until the list of keys was confirmed: a key that was revoked since the backup
 * must not come back to life (S31).
 */
async function isShut(store: SignInStore, userId: string | undefined): Promise<boolean> {
  if ((await store.restored.pending()) === undefined) return false;
  const user = userId === undefined ? undefined : await store.users.byId(userId);
  return user?.admin !== true;
}

async function identifyServer(store: SignInStore, blob: Buffer): Promise<Identified | undefined> {
  const found = await store.servers.byKey(blob);
  if (found === undefined) return identifyInvitee(store, blob);
  const { server, key } = found;
  return { ...checkBlob(key.blob), principal: serverPrincipal(found), user: server.id };
}

function serverPrincipal({ server, key }: { server: Server; key: ServerKey }): ServerPrincipal {
  const { id, name } = server;
  return { kind: 'server', id, name, keyId: key.id, fingerprint: key.fingerprint };
}

async function identifyInvitee(
  { invitations }: SignInStore,
  blob: Buffer,
): Promise<Identified | undefined> {
  const found = await invitations.byKey(blob);
  return found && { ...checkBlob(blob), ...invitee(found) };
}

function invitee({ id, name, fingerprint, expiresAt }: OpenInvitation) {
  const principal = { kind: 'invitee', id, name, keyId: id, fingerprint } as const;
  return { principal, user: id, endsAt: Date.parse(expiresAt) };
}
