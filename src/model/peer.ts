import { isIP } from 'node:net';
import { UserError } from './errors.ts';
import { quoted } from './repo.ts';

/** What another server is to this one (contract, section 6). */
export const peerRoles = ['main', 'backup', 'dev', 'neighbor'] as const;
export type PeerRole = (typeof peerRoles)[number];

/** `untrusted`: it shows another host key than the pinned one; all with it stops until `servers trust`. */
export type PeerState = 'unknown' | 'up' | 'down' | 'untrusted';

/** Where another server is reached. */
export interface PeerAddress {
  readonly user: 'cpm' | 'git';
  /** A DNS name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
}

const shape = /^(?:ssh:\/\/)?(cpm|git)@(?:\[([0-9a-fA-F:]+)\]|([^@:/[\]]+))(?::(\d{1,5}))?\/?$/;
const label = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

/** Where SSH servers listen unless told otherwise. */
const usualPort = 22;

/**
 * Reads `cpm@host[:port]`. The host's grammar is strict: it becomes a word of a command line (S25).
 *
 * @throws UserError `usage`
 */
export function parsePeerUrl(url: string): PeerAddress {
  const [, user, v6, name, port] = shape.exec(url) ?? [];
  const host = v6 ?? name ?? '';
  const number = port === undefined ? usualPort : Number(port);
  const sound = v6 === undefined ? isHostName(host) : isIP(v6) === 6;
  if (user !== undefined && sound && number >= 1 && number <= 65535) {
    return { user: user as PeerAddress['user'], host, port: number };
  }
  throw new UserError('usage', `${quoted(url)} is not the address of a server`, {
    hint: 'write cpm@HOST:PORT, or cpm@[IPV6]:PORT; without a port it is 22',
  });
}

/** `cpm@host:port`, the form that is shown and stored. */
export function peerUrl({ user, host, port }: PeerAddress): string {
  return `${user}@${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** Whether a word is a DNS name by the strict grammar. */
export function isHostName(host: string): boolean {
  if (host.length > 253) return false;
  return host.split('.').every((each) => label.test(each));
}
