import { createHash } from 'node:crypto';
import { checkBlob, verifySignature } from './sshkey.ts';
import { WireReader, wire } from './sshwire.ts';

const armour =
  /^\s*-----BEGIN SSH SIGNATURE-----\s+([A-Za-z0-9+/=\s]+?)-----END SSH SIGNATURE-----\s*$/;
const magic = 'SSHSIG';
const hashes = ['sha256', 'sha512'];

/**
 * Whether an armoured signature, as `ssh-keygen -Y sign` makes it, was made over `message` by the key `blob` in a namespace.
 * Whatever is wrong with it is a false, never an error.
 *
 * @see PROTOCOL.sshsig of OpenSSH
 */
export function verifySshSignature(
  text: string,
  { blob, namespace, message }: { blob: Buffer; namespace: string; message: string },
): boolean {
  const [, base64] = armour.exec(text) ?? [];
  if (base64 === undefined) return false;
  try {
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.subarray(0, magic.length).toString() !== magic) return false;
    const reader = new WireReader(bytes, magic.length);
    if (reader.uint32() !== 1) return false;
    const key = reader.string();
    const signedNamespace = reader.text();
    const reserved = reader.string();
    const hash = reader.text();
    const signature = Buffer.from(reader.string());
    reader.end();
    if (!key.equals(blob) || signedNamespace !== namespace || !hashes.includes(hash)) return false;
    const digest = createHash(hash).update(message).digest();
    const data = Buffer.concat([Buffer.from(magic), wire(namespace, reserved, hash, digest)]);
    const algorithm = new WireReader(signature).text();
    return verifySignature(checkBlob(blob), { algorithm, blob: signature, data });
  } catch {
    // A torn signature: no different from a wrong one.
    return false;
  }
}
