import { isIP } from 'node:net';
import { UserError } from './errors.ts';
import { quoted } from './repo.ts';

/** What another server is to this one (contract, section 6). */
export const peerRoles = ['main', 'backup', 'dev', 'neighbor'] as const;
export type PeerRole = (typeof peerRoles)[number];

/** `untrusted`: it shows another host key than the pinned one; all with it stops until `servers trust`. */
export type PeerState = 'unknown' | 'up' | 'down' | 'untrusted';

/** An account on a machine that is reached over SSH. */
export interface AccountAddress {
  readonly user: string;
  /** A DNS name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Where another server is reached. */
export interface PeerAddress extends AccountAddress {
  readonly user: 'cpm' | 'git';
}

const shape =
  /^(?:ssh:\/\/)?([a-z_][a-z0-9_-]{0,31})@(?:\[([0-9a-fA-F:]+)\]|([^@:/[\]]+))(?::(\d{1,5}))?\/?$/;
const label = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

/** Where SSH servers listen unless told otherwise. */
const usualPort = 22;

/**
 * Reads `cpm@host[:port]`. The host's grammar is strict: it becomes a word of a command line (S25).
 *
 * @throws UserError `usage`
 */
export function parsePeerUrl(url: string): PeerAddress {
  const read = readAddress(url);
  if (read?.user === 'cpm' || read?.user === 'git') return { ...read, user: read.user };
  throw new UserError('usage', `${quoted(url)} is not the address of a server`, {
    hint: 'write cpm@HOST:PORT, or cpm@[IPV6]:PORT; without a port it is 22',
  });
}

/** Reads `ACCOUNT@host[:port]`, by the same grammar. @throws UserError `usage` */
export function parseAccount(url: string): AccountAddress {
  const read = readAddress(url);
  if (read !== undefined) return read;
  throw new UserError(
    'usage',
    `${quoted(url)} is neither a server's name nor an account's address`,
    {
      hint: 'write NAME, cpm@HOST:PORT or ACCOUNT@HOST:PORT; without a port it is 22',
    },
  );
}

function readAddress(url: string): AccountAddress | undefined {
  const [, user, v6, name, port] = shape.exec(url) ?? [];
  const host = v6 ?? name ?? '';
  const number = port === undefined ? usualPort : Number(port);
  const sound = v6 === undefined ? isHostName(host) : isIP(v6) === 6;
  if (user === undefined || !sound || number < 1 || number > 65535) return undefined;
  return { user, host, port: number };
}

/** `cpm@host:port`, the form that is shown and stored. */
export function peerUrl({ user, host, port }: AccountAddress): string {
  return `${user}@${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** Whether a word is a DNS name by the strict grammar. */
export function isHostName(host: string): boolean {
  if (host.length > 253) return false;
  return host.split('.').every((each) => label.test(each));
}
