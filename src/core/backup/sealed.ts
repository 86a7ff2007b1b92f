import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { UserError } from '../../model/errors.ts';

/** Private keys by their file names, as a backup holds them: encrypted by a passphrase. */
export interface Sealed {
  readonly kdf: 'scrypt';
  readonly n: number;
  readonly r: number;
  readonly p: number;
  /** base64, as are all that follow. */
  readonly salt: string;
  readonly cipher: 'aes-256-gcm';
  readonly nonce: string;
  readonly tag: string;
  readonly data: string;
}

/** 32 MiB and about 0.1 s for each guess. */
const cost = { n: 2 ** 15, r: 8, p: 1 };
const maxBytes = 128 * 1024 * 1024;

/** Encrypts files for a backup: scrypt of the passphrase, AES-256-GCM. */
export async function seal(
  files: Readonly<Record<string, string>>,
  passphrase: string,
): Promise<Sealed> {
  const salt = randomBytes(16);
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', await derive(passphrase, salt, cost), nonce);
  const data = Buffer.concat([cipher.update(JSON.stringify(files)), cipher.final()]);
  const text = (bytes: Buffer) => bytes.toString('base64');
  const made = { salt: text(salt), cipher: 'aes-256-gcm', nonce: text(nonce) } as const;
  return { kdf: 'scrypt', ...cost, ...made, tag: text(cipher.getAuthTag()), data: text(data) };
}

/** @throws UserError `denied` for another passphrase, or when it was changed */
export async function unseal(
  sealed: Sealed,
  passphrase: string,
): Promise<Readonly<Record<string, string>>> {
  const bytes = (text: string) => Buffer.from(text, 'base64');
  try {
    const key = await derive(passphrase, bytes(sealed.salt), sealed);
    const decipher = createDecipheriv('aes-256-gcm', key, bytes(sealed.nonce));
    decipher.setAuthTag(bytes(sealed.tag));
    const data = Buffer.concat([decipher.update(bytes(sealed.data)), decipher.final()]);
    return JSON.parse(String(data)) as Record<string, string>;
  } catch (cause) {
    throw new UserError('denied', 'the keys of the backup do not open with this passphrase', {
      cause,
    });
  }
}

function derive(
  passphrase: string,
  salt: Buffer,
  { n, r, p }: { n: number; r: number; p: number },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, { N: n, r, p, maxmem: maxBytes }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
