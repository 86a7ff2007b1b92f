import { createHash } from 'node:crypto';
import { checkBlob, verifySignature } from './sshkey.ts';
import { WireReader, wire } from './sshwire.ts';

const first = '-----BEGIN SSH SIGNATURE-----';
const last = '-----END SSH SIGNATURE-----';
/** Longer than that of the longest RSA key. */
const longestText = 16 * 1024;
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
  { blob, namespace, message }: { blob: Buffer; namespace: string; message: Buffer | string },
): boolean {
  try {
    const read = readSignature(text);
    if (read === undefined || !read.key.equals(blob)) return false;
    const { hash, reserved, signature } = read;
    if (read.namespace !== namespace || !hashes.includes(hash)) return false;
    const digest = createHash(hash).update(message).digest();
    const data = sshSignedData({ namespace, reserved, hash }, digest);
    const algorithm = new WireReader(signature).text();
    return verifySignature(checkBlob(blob), { algorithm, blob: signature, data });
  } catch {
    // A torn signature: no different from a wrong one.
    return false;
  }
}

/** The blob of the key that an armoured signature names as its maker's; undefined when it can't be read. */
export function signerOf(text: string): Buffer | undefined {
  try {
    return readSignature(text)?.key;
  } catch {
    return undefined;
  }
}

/** @throws WireFault when it is torn */
function readSignature(
  text: string,
): (SshSigned & { readonly key: Buffer; readonly signature: Buffer }) | undefined {
  if (text.length > longestText) return undefined;
  const whole = text.trim();
  if (!whole.startsWith(first) || !whole.endsWith(last)) return undefined;
  const base64 = whole.slice(first.length, -last.length);
  if (!/^[A-Za-z0-9+/=\s]+$/.test(base64)) return undefined;
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.subarray(0, magic.length).toString() !== magic) return undefined;
  const reader = new WireReader(bytes, magic.length);
  if (reader.uint32() !== 1) return undefined;
  const key = reader.string();
  const namespace = reader.text();
  const reserved = reader.string();
  const hash = reader.text();
  const signature = Buffer.from(reader.string());
  reader.end();
  return { key, namespace, reserved, hash, signature };
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
  const body = base64.match(/.{1,70}/g) ?? [];
  return [first, ...body, last, ''].join('\n');
}
