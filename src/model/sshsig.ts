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
    const data = sshSignedData({ namespace, reserved, hash }, digest);
    const algorithm = new WireReader(signature).text();
    return verifySignature(checkBlob(blob), { algorithm, blob: signature, data });
  } catch {
    // A torn signature: no different from a wrong one.
    return false;
  }
}

/** What a signature says of itself, besides its key. */
export interface SshSigned {
  readonly namespace: string;
  readonly reserved: Buffer;
  readonly hash: string;
}

/** The bytes that are signed in a message's place. @param digest - of the message, by `hash` */
export function sshSignedData({ namespace, reserved, hash }: SshSigned, digest: Buffer): Buffer {
  return Buffer.concat([Buffer.from(magic), wire(namespace, reserved, hash, digest)]);
}

/**
 * Armours a signature, with a line break at its end.
 *
 * @param by - the key's blob, and the signature as SSH sends it
 */
export function sshSignature(
  { namespace, reserved, hash }: SshSigned,
  by: { blob: Buffer; signature: Buffer },
): string {
  const fields = wire(1, by.blob, namespace, reserved, hash, by.signature);
  const base64 = Buffer.concat([Buffer.from(magic), fields]).toString('base64');
  const name = 'SSH SIGNATURE';
  const body = base64.match(/.{1,70}/g) ?? [];
  return [`-----BEGIN ${name}-----`, ...body, `-----END ${name}-----`, ''].join('\n');
}
