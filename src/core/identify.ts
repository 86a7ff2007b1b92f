import type { Principal } from '../model/principal.ts';
import { checkBlob, fingerprint, type PublicKey } from '../model/sshkey.ts';
import type { Key } from '../store/keys.ts';
import type { Store } from '../store/store.ts';
import type { User } from '../store/users.ts';

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
  if (key === undefined) return identifyServer(store, blob);
  if (key.userId === undefined) return undefined;
  const user = await store.users.byId(key.userId);
  if (user?.state !== 'active') return undefined;
  return {
    ...checkBlob(key.blob),
    principal: {
      kind: 'user',
      id: user.id,
      name: user.name,
      keyId: key.id,
      fingerprint: key.fingerprint,
    },
    user: user.id,
    ...(key.expiresAt === undefined ? {} : { endsAt: Date.parse(key.expiresAt) }),
  };
}

async function identifyServer(store: Store, blob: Buffer): Promise<Identified | undefined> {
  const found = await store.servers.byKey(blob);
  if (found === undefined) return undefined;
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

/** Why a key of a user's is nothing any more; undefined when it is in force. */
export function keyFault(key: Key | undefined, userId: string): string | undefined {
  if (key === undefined || key.userId !== userId) return 'this key is not known any more';
  if (key.state === 'active') return undefined;
  if (key.state === 'expired')
    return `key ${key.fingerprint} ended on ${key.expiresAt?.slice(0, 10)}`;
  return `key ${key.fingerprint} is ${key.state}`;
}

/** A user as a principal that signed nothing: to ask about, never to act as. */
export function asUser({ id, name }: User): Principal {
  return { kind: 'user', id, name, keyId: '', fingerprint: '' };
}
