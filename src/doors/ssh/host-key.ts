import ssh2 from 'ssh2';
import { UserError } from '../../model/errors.ts';

const hostKeyTypes = /^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521))$/;

/**
 * Reads a private host key.
 *
 * @throws UserError `usage` when it is none, or of a kind that is not taken
 */
export function readHostKey(text: string): ssh2.ParsedKey {
  const parsed = ssh2.utils.parseKey(text);
  const hint = 'make one with: ssh-keygen -t ed25519 -N "" -f FILE';
  if (parsed instanceof Error) {
    throw new UserError('usage', `a host key can't be read: ${parsed.message}`, {
      hint,
      cause: parsed,
    });
  }
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || !key.isPrivateKey()) {
    throw new UserError('usage', 'a host key holds no private key', { hint });
  }
  // ssh2 offers SHA-1 signatures of an RSA host key, whatever list it is given.
  if (!hostKeyTypes.test(key.type)) {
    throw new UserError('usage', `a host key is of the type ${key.type}, which is not taken`, {
      hint,
    });
  }
  return key;
}
