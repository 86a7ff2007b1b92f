import { randomUUID } from 'node:crypto';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { parsePublicKey } from '../../src/model/sshkey.ts';
import type { Actor } from '../../src/store/changes.ts';
import type { NewKey } from '../../src/store/key-writes.ts';

/** Somebody in a request of their own. @param keyId - the key that signed it */
export function actor({ keyId, dryRun = false }: { keyId?: string; dryRun?: boolean } = {}): Actor {
  return { principal: 'operator', keyId, request: randomUUID(), dryRun };
}

/** A public key that nobody has had before. */
export function freshKey(): NewKey['key'] {
  return parsePublicKey(generateEd25519('test').publicLine);
}
