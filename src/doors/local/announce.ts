import { hostname } from 'node:os';
import type { FirstAdmin } from '../../core/first-start.ts';
import type { ListenAddress } from '../../settings.ts';

/** `listening on ssh://HOST:PORT`, IPv6 in brackets. */
export function listeningLine({ host, port }: ListenAddress): string {
  return `listening on ssh://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What a person needs after the first start: who is admin, and lines to copy. */
export function firstStartLines(
  admin: FirstAdmin,
  { port, hostKey, dataDir }: { port: number; hostKey: string; dataDir: string },
): readonly string[] {
  const identity =
    admin.identityFile === undefined ? [] : [`    IdentityFile ${admin.identityFile}`];
  return [
    '',
    `data directory: ${dataDir}`,
    `host key: ${hostKey}`,
    `first site admin: ${admin.name}, key ${admin.fingerprint} (${admin.source})`,
    '',
    'For ~/.ssh/config:',
    '  Host cpm',
    `    HostName ${hostname()}`,
    `    Port ${port}`,
    '    User cpm',
    ...identity.map((line) => line),
    '',
    'Then, from a project of yours:',
    '  ssh cpm init project',
    '  git push cpm:project HEAD:main',
    '  git clone cpm:project',
    '',
  ];
}
