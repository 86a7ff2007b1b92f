import { hkdfSync, randomBytes } from 'node:crypto';
import { ed25519Of, type KeyPair } from './ed25519.ts';
import { UserError } from './errors.ts';
import { type PeerAddress, type PeerRole, parsePeerUrl, peerRoles, peerUrl } from './peer.ts';
import { quoted } from './repo.ts';

/** What the line of an invitation says: where to sign in, by which host key, and as what. */
export interface Invitation {
  /** What the invited server is to the inviting one. */
  readonly role: PeerRole;
  readonly address: PeerAddress;
  /** `SHA256:…` of the inviting server's host key. */
  readonly hostKey: string;
  /** 128 random bits, base64url. */
  readonly code: string;
}

const prefix = 'cpm-invitation';
const codeBytes = 16;
const codeShape = /^[A-Za-z0-9_-]{22}$/;
const fingerprintShape = /^SHA256:[A-Za-z0-9+/]{43}$/;

export function newInvitationCode(): string {
  return randomBytes(codeBytes).toString('base64url');
}

/** One word without blanks or anything that a shell would read otherwise. */
export function invitationLine({ role, address, hostKey, code }: Invitation): string {
  return [prefix, role, peerUrl(address), hostKey, code].join(',');
}

/** @throws UserError `usage` */
export function parseInvitation(line: string): Invitation {
  const [first, role, url = '', hostKey = '', code = '', ...rest] = line.trim().split(',');
  const known = peerRoles.find((each) => each === role);
  const sound =
    first === prefix && rest.length === 0 && fingerprintShape.test(hostKey) && codeShape.test(code);
  if (known !== undefined && sound) {
    return { role: known, address: parsePeerUrl(url), hostKey, code };
  }
  throw new UserError('usage', `${quoted(line.slice(0, 60))} is not the line of an invitation`, {
    hint: 'the other server prints one: servers invite NAME --role ROLE',
  });
}

/**
 * The key that a code stands for. Whoever has the code signs in with it; the inviting server keeps its public half, so
 * that neither its database nor the connection ever holds the code.
 */
export function invitationKey(code: string): KeyPair {
  const seed = Buffer.from(hkdfSync('sha256', code, 'cpm', 'cpm-invitation', 32));
  return ed25519Of(seed, 'cpm invitation');
}

/** What the inviting server is to the one that it invites as `role`. */
export function counterpart(role: PeerRole): PeerRole {
  return { main: 'backup', backup: 'main', dev: 'dev', neighbor: 'neighbor' }[role] as PeerRole;
}
