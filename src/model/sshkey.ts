import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { UserError } from './errors.ts';
import { quoted } from './repo.ts';
import { WireFault, WireReader } from './sshwire.ts';

/** The kinds of key that may sign in. */
export const keyTypes = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
] as const;
/** One of them, as the key's blob and the .pub line spell it. */
export type KeyType = (typeof keyTypes)[number];

/** A public key as SSH writes it: `blob` holds the type once more and the numbers. */
export interface PublicKey {
  readonly type: KeyType;
  readonly blob: Buffer;
}

interface Curve {
  readonly name: string;
  readonly jwk: string;
  readonly hash: string;
  readonly sizeBytes: number;
}

const curves: Readonly<Record<string, Curve>> = {
  'ecdsa-sha2-nistp256': { name: 'nistp256', jwk: 'P-256', hash: 'sha256', sizeBytes: 32 },
  'ecdsa-sha2-nistp384': { name: 'nistp384', jwk: 'P-384', hash: 'sha384', sizeBytes: 48 },
  'ecdsa-sha2-nistp521': { name: 'nistp521', jwk: 'P-521', hash: 'sha512', sizeBytes: 66 },
};

const fewestRsaBits = 2048;
const mostRsaBits = 16384;

/** The algorithms that a key of this type may sign with; SHA-1 is in none of them. */
export function signatureAlgorithms(type: KeyType): readonly string[] {
  return type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type];
}

/**
 * Reads one line of an OpenSSH public key file, or its middle word alone.
 *
 * @returns the key in its one possible spelling, and the rest of the line
 * @throws UserError `usage` saying what was given instead
 */
export function parsePublicKey(text: string): PublicKey & { readonly comment: string } {
  const line = onlyLine(text);
  const [first = '', second = '', ...rest] = line.split(/[ \t]+/);
  const bare = first.startsWith('AAAA');
  if (!bare) checkType(first);
  const blob = decodeBlob(bare ? first : second);
  const key = checkBlob(blob);
  if (!bare && key.type !== first) {
    throw new UserError('usage', `the key says it is ${quoted(first)}, but holds ${key.type}`, {
      hint: 'copy the whole line of the .pub file once more',
    });
  }
  const comment = bare ? [second, ...rest] : rest;
  return { ...key, comment: comment.filter((word) => word !== '').join(' ') };
}

const longestText = 16 * 1024;
const pubHint = 'give the line of a .pub file, such as: ssh-ed25519 AAAA… you@laptop';

function onlyLine(text: string): string {
  const line = text.trim();
  if (line === '') throw new UserError('usage', 'no key was given', { hint: pubHint });
  if (/PRIVATE KEY|PuTTY-User-Key-File/.test(line)) {
    throw new UserError('usage', 'this is a private key, which nobody else should ever see', {
      hint: 'give the public key, the file that ends in .pub; it is made by: ssh-keygen -y -f FILE',
    });
  }
  if (/BEGIN .*PUBLIC KEY/.test(line)) {
    throw new UserError('usage', 'this public key is not in the form that OpenSSH writes', {
      hint: 'convert it with: ssh-keygen -i -f FILE (for PEM files: -m PKCS8)',
    });
  }
  if (/[\r\n]/.test(line)) {
    throw new UserError('usage', 'more than one line was given', {
      hint: 'give one key at a time',
    });
  }
  if (line.length > longestText) {
    throw new UserError('usage', `the key is too long: ${line.length} characters`);
  }
  return line;
}

function checkType(type: string): void {
  if (isKeyType(type)) return;
  const hint = 'make a key that fits with: ssh-keygen -t ed25519';
  if (type.includes('-cert-v01')) {
    throw new UserError('usage', 'certificates are not taken, only plain keys', {
      hint: 'give the .pub file that the certificate was made from',
    });
  }
  if (type.startsWith('sk-')) {
    throw new UserError('usage', `keys of security tokens (${quoted(type)}) are not taken`, {
      hint,
    });
  }
  if (type === 'ssh-dss') {
    throw new UserError('usage', 'DSA keys are too weak to be taken', { hint });
  }
  throw new UserError('usage', `${quoted(type)} is no kind of key that is taken`, {
    hint: pubHint,
  });
}

function isKeyType(type: string): type is KeyType {
  return keyTypes.some((known) => known === type);
}

function decodeBlob(base64: string): Buffer {
  const blob = Buffer.from(base64, 'base64');
  // Node skips what is no base64; only what it writes itself is taken, so that a key has one spelling.
  if (base64 !== '' && blob.toString('base64') === base64) return blob;
  throw new UserError('usage', 'the key is damaged: its middle part is not base64', {
    hint: 'copy the whole line of the .pub file once more',
  });
}

/**
 * Checks a key that came as bytes.
 *
 * @throws UserError `usage` when it is damaged, too weak or of a kind that is not taken
 */
export function checkBlob(blob: Buffer): PublicKey {
  try {
    const type = new WireReader(blob).text();
    checkType(type);
    if (!isKeyType(type)) throw new WireFault('no known type');
    keyObject({ type, blob });
    return { type, blob };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError('usage', 'the key is damaged: its content does not fit its type', {
      hint: 'copy the whole line of the .pub file once more',
      cause: error,
    });
  }
}

/** @throws whatever is wrong with the blob */
function keyObject({ type, blob }: PublicKey): KeyObject {
  const reader = new WireReader(blob);
  if (reader.text() !== type) throw new WireFault('another type within');
  const jwk = jwkOf(type, reader);
  reader.end();
  return createPublicKey({ key: jwk, format: 'jwk' });
}

function jwkOf(type: KeyType, reader: WireReader): Record<string, string> {
  if (type === 'ssh-ed25519') {
    const x = reader.string();
    if (x.length !== 32) throw new WireFault('the point has a wrong length');
    return { kty: 'OKP', crv: 'Ed25519', x: x.toString('base64url') };
  }
  if (type === 'ssh-rsa') return rsaJwk(reader.positive(), reader.positive());
  const curve = curveOf(type);
  if (reader.text() !== curve.name) throw new WireFault('another curve within');
  const point = reader.string();
  // 4: both coordinates follow. Compressed points would be second spellings of the same key.
  if (point[0] !== 4 || point.length !== 1 + 2 * curve.sizeBytes) {
    throw new WireFault('the point has a wrong form');
  }
  const x = point.subarray(1, 1 + curve.sizeBytes).toString('base64url');
  const y = point.subarray(1 + curve.sizeBytes).toString('base64url');
  return { kty: 'EC', crv: curve.jwk, x, y };
}

function rsaJwk(exponent: Buffer, modulus: Buffer): Record<string, string> {
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  if (bits < fewestRsaBits || bits > mostRsaBits) {
    const problem = `the RSA key has ${bits} bits, ${fewestRsaBits} to ${mostRsaBits} are taken`;
    throw new UserError('usage', problem, { hint: 'better still: ssh-keygen -t ed25519' });
  }
  const odd = (exponent.at(-1) ?? 0) % 2 === 1 && (modulus.at(-1) ?? 0) % 2 === 1;
  const tiny = exponent.length === 1 && exponent[0] === 1;
  // A larger exponent makes every check of a signature slow, for nothing: 65537 is what everybody uses.
  if (!odd || tiny || exponent.length > 8) throw new WireFault('these are no RSA numbers');
  return { kty: 'RSA', n: modulus.toString('base64url'), e: exponent.toString('base64url') };
}

function curveOf(type: KeyType): Curve {
  const curve = curves[type];
  if (curve === undefined) throw new WireFault(`${type} has no curve`);
  return curve;
}

/** The SHA-256 of a key's blob, 32 bytes. */
export function fingerprintBytes(blob: Buffer): Buffer {
  return createHash('sha256').update(blob).digest();
}

/** How OpenSSH shows a key: `SHA256:` and unpadded base64. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${fingerprintBytes(blob).toString('base64').replace(/=+$/, '')}`;
}

/** The line of a .pub file, without the line break. */
export function publicKeyLine({ type, blob }: PublicKey, comment = ''): string {
  return [type, blob.toString('base64'), comment].filter((part) => part !== '').join(' ');
}

/** A signature as SSH sends it: `blob` holds the algorithm once more and the bytes. */
export interface Signature {
  readonly algorithm: string;
  readonly blob: Buffer;
  readonly data: Buffer;
}

/**
 * Whether `key` signed `data`. True only when the algorithm fits the key's own type and is none with SHA-1.
 * Whatever is wrong with what came from outside is a false, never an error.
 */
export function verifySignature(key: PublicKey, { algorithm, blob, data }: Signature): boolean {
  if (!signatureAlgorithms(key.type).includes(algorithm)) return false;
  try {
    const reader = new WireReader(blob);
    if (reader.text() !== algorithm) return false;
    const bytes = reader.string();
    reader.end();
    return check(key, algorithm, bytes, data) === true;
  } catch {
    // A torn signature or key: no different from a wrong one.
    return false;
  }
}

function check(key: PublicKey, algorithm: string, bytes: Buffer, data: Buffer): boolean {
  const object = keyObject(key);
  if (key.type === 'ssh-ed25519') return bytes.length === 64 && verify(null, data, object, bytes);
  if (key.type === 'ssh-rsa') {
    const size = Math.ceil((object.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
    if (bytes.length > size) return false;
    // Some clients leave out leading zero bytes, as OpenSSH knows.
    const padded = Buffer.concat([Buffer.alloc(size - bytes.length), bytes]);
    return verify(algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256', data, object, padded);
  }
  const { hash, sizeBytes } = curveOf(key.type);
  const reader = new WireReader(bytes);
  const numbers = [reader.positive(), reader.positive()];
  reader.end();
  if (numbers.some((number) => number.length > sizeBytes)) return false;
  const padded = numbers.map((number) =>
    Buffer.concat([Buffer.alloc(sizeBytes - number.length), number]),
  );
  return verify(hash, data, { key: object, dsaEncoding: 'ieee-p1363' }, Buffer.concat(padded));
}
