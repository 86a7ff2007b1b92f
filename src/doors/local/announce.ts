import { lookup } from 'node:dns/promises';
import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import type { FirstAdmin } from '../../core/first-start.ts';
import type { ListenAddress } from '../../settings.ts';

/** `listening on ssh://HOST:PORT`, IPv6 in brackets. */
export function listeningLine(address: ListenAddress): string {
  return `listening on ${addressText(address)}`;
}

/** `ssh://HOST:PORT`, IPv6 in brackets. */
export function addressText({ host, port }: ListenAddress): string {
  return `ssh://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Where the network is cut off, a name server that never answers is not waited for. */
const lookupMs = 1000;

/** The name under which a client on this machine surely reaches a listener. */
export async function reachableHost({ host }: ListenAddress): Promise<string> {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const named = lookup(hostname()).then(
    () => hostname(),
    () => 'localhost',
  );
  return Promise.race([named, wait(lookupMs, 'localhost', { ref: false })]);
}

/** What a person needs after the first start: who is admin, and lines to copy. */
export function firstStartLines(
  admin: FirstAdmin,
  place: { host: string; port: number; hostKey: string; dataDir: string },
): readonly string[] {
  const identity =
    admin.identityFile === undefined ? [] : [`    IdentityFile ${admin.identityFile}`];
  return [
    '',
    `data directory: ${place.dataDir}`,
    `host key: ${place.hostKey}`,
    `first site admin: ${admin.name}, key ${admin.fingerprint} (${admin.source})`,
    '',
    'For ~/.ssh/config:',
    '  Host cpm',
    `    HostName ${place.host}`,
    `    Port ${place.port}`,
    '    User cpm',
    ...identity,
    '',
    'Then, from a project of yours:',
    '  ssh cpm init project',
    '  git push cpm:project HEAD:main',
    '  git clone cpm:project',
    '',
  ];
}
