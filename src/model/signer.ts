import { createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import type { PublicKey } from './sshkey.ts';
import { sshSignature, sshSignedData } from './sshsig.ts';
import { WireFault, WireReader, wire } from './sshwire.ts';

/** An ed25519 key that signs texts, each for one use. */
export interface Signer {
  readonly publicKey: PublicKey;
  /**
   * Signs a text in a namespace, as `ssh-keygen -Y sign` does; `ssh-keygen -Y verify` takes what it returns.
   *
   * @returns the armoured signature, a line break at its end
   */
  sign(namespace: string, message: string): string;
}

const magic = 'openssh-key-v1\0';
const armour =
  /^\s*-----BEGIN OPENSSH PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END OPENSSH PRIVATE KEY-----\s*$/;

/**
 * Reads the text of an OpenSSH private key file.
 *
 * @throws WireFault when it is not an ed25519 key without a passphrase
 * @see PROTOCOL.key of OpenSSH, openssh-key-v1
 */
export function readSigner(text: string): Signer {
  const [, base64] = armour.exec(text) ?? [];
  if (base64 === undefined) throw new WireFault('not an OpenSSH private key file');
  const { blob, key } = readKey(Buffer.from(base64, 'base64'));
  return {
    publicKey: { type: 'ssh-ed25519', blob },
    sign: (namespace, message) => {
      const digest = createHash('sha512').update(message).digest();
      const signed = { namespace, reserved: Buffer.alloc(0), hash: 'sha512' };
      const bytes = sign(null, sshSignedData(signed, digest), key);
      return sshSignature(signed, { blob, signature: wire('ssh-ed25519', bytes) });
    },
  };
}

function readKey(bytes: Buffer): { blob: Buffer; key: KeyObject } {
  if (bytes.subarray(0, magic.length).toString('latin1') !== magic) {
    throw new WireFault('not an OpenSSH private key');
  }
  const file = new WireReader(bytes, magic.length);
  if (file.text() !== 'none' || file.text() !== 'none' || file.text() !== '') {
    throw new WireFault('the private key has a passphrase');
  }
  if (file.uint32() !== 1) throw new WireFault('not one private key');
  const blob = Buffer.from(file.string());
  const secret = new WireReader(file.string());
  file.end();
  const checks = [secret.uint32(), secret.uint32()];
  if (checks[0] !== checks[1]) throw new WireFault('the private key is damaged');
  if (secret.text() !== 'ssh-ed25519') throw new WireFault('not an ed25519 key');
  const point = secret.string();
  const pair = secret.string();
  const fits = pair.length === 64 && pair.subarray(32).equals(point);
  if (!fits || !wire('ssh-ed25519', point).equals(blob)) {
    throw new WireFault('the halves of the private key do not belong together');
  }
  const jwk = {
    kty: 'OKP',
    crv: 'Ed25519',
    x: point.toString('base64url'),
    d: pair.subarray(0, 32).toString('base64url'),
  };
  return { blob, key: createPrivateKey({ key: jwk, format: 'jwk' }) };
}
