import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { type PublicKey, publicKeyLine } from './sshkey.ts';
import { wire } from './sshwire.ts';

/** A new key: the private file's whole text, and the public key with its line. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: PublicKey;
  /** The line of the .pub file, without the line break. */
  readonly publicLine: string;
}

/**
 * Makes an ed25519 key in OpenSSH's own file format, without a passphrase.
 *
 * @see PROTOCOL.key of OpenSSH, openssh-key-v1
 */
export function generateEd25519(comment = ''): KeyPair {
  return ed25519Of(randomBytes(seedBytes), comment);
}

const seedBytes = 32;
/** What comes before the seed in a PKCS #8 file of an ed25519 key (RFC 8410). */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key whose private half is this seed of 32 bytes. */
export function ed25519Of(seed: Buffer, comment = ''): KeyPair {
  const der = Buffer.concat([pkcs8, seed]);
  const secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const made = createPublicKey(secret).export({ format: 'jwk' });
  const point = Buffer.from(made.x ?? '', 'base64url');
  if (point.length !== 32) throw new Error('no ed25519 key was made');
  const publicKey: PublicKey = { type: 'ssh-ed25519', blob: wire('ssh-ed25519', point) };
  return {
    privateKey: privateFile(publicKey, Buffer.concat([seed, point]), comment),
    publicKey,
    publicLine: publicKeyLine(publicKey, comment),
  };
}

function privateFile(publicKey: PublicKey, secret: Buffer, comment: string): string {
  const check = randomBytes(4);
  const point = secret.subarray(32);
  const fields = wire('ssh-ed25519', point, secret, comment);
  const unpadded = Buffer.concat([check, check, fields]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, -unpadded.length & 7);
  const whole = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    wire('none', 'none', '', 1, publicKey.blob, Buffer.concat([unpadded, padding])),
  ]);
  const lines = whole.toString('base64').match(/.{1,70}/g) ?? [];
  const name = 'OPENSSH PRIVATE KEY';
  return [`-----BEGIN ${name}-----`, ...lines, `-----END ${name}-----`, ''].join('\n');
}
