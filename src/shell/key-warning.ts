import type { Core } from '../core/core.ts';
import { endWarning } from '../model/key-end.ts';
import type { Principal } from '../model/principal.ts';

/** What to tell whoever asks of the key that they signed in with, when it ends soon. */
export async function keyWarning(core: Core, principal: Principal): Promise<string | undefined> {
  if (!('keyId' in principal)) return undefined;
  const key = await core.store.keys.byId(principal.keyId);
  if (key === undefined) return undefined;
  const { fingerprint, kind, expiresAt = null } = key;
  return endWarning({ fingerprint, kind, expiresAt }, new Date());
}
