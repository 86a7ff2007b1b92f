import { isIP } from 'node:net';
import type { Format } from '../commands/command.ts';
import { UserError } from '../model/errors.ts';
import { parsePeerUrl } from '../model/peer.ts';
import { refFault } from '../model/ref.ts';
import {
  checkName,
  checkNamespace,
  escapeControls,
  nameFault,
  parseRepoPath,
  quoted,
} from '../model/repo.ts';
import { readDurationMs, readMoment, readSizeBytes } from '../model/units.ts';

const longestText = 4096;

function usage(value: string, what: string, hint?: string): UserError {
  return new UserError(
    'usage',
    `${quoted(value)} is not ${what}`,
    hint === undefined ? {} : { hint },
  );
}

function checkAddress(value: string): void {
  const [, address = '', bits = ''] = /^([^/]*)(\/\d{1,3})?$/.exec(value) ?? [];
  const network = { 4: '/24', 6: '/64' }[isIP(address)];
  if (value === 'others' || (network !== undefined && ['', network].includes(bits))) return;
  throw usage(
    value,
    'an address',
    'write 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8:0:0::/64',
  );
}

function checkPattern(value: string): void {
  if (/^[a-z0-9._/*?-]{1,200}$/.test(value)) return;
  throw usage(value, 'a pattern', 'use a name with * and ?, as in acme/*');
}

function checkText(value: string): void {
  if (value.length > longestText) {
    throw new UserError(
      'usage',
      `a text of ${value.length} characters is too long: ${longestText} at most`,
    );
  }
  if (escapeControls(value) !== value) {
    throw usage(value, 'a text of printable characters');
  }
}

function checkWho(value: string): void {
  const [, kind, name = ''] = /^(?:([a-z]+):)?(.*)$/.exec(value) ?? [];
  const faults: Readonly<Record<string, () => boolean>> = {
    org: () => nameFault(name) !== undefined,
    server: () => nameFault(name) !== undefined,
    team: () =>
      !/^[^/]+\/[^/]+$/.test(name) || name.split('/').some((part) => nameFault(part) !== undefined),
  };
  const faulty = kind === undefined ? nameFault(name) !== undefined : (faults[kind]?.() ?? true);
  if (faulty) throw usage(value, 'a WHO', 'write NAME, org:NAME or team:ORG/TEAM');
}

/** What each format lets through; every one of them looks at the text alone. @throws UserError `usage` */
const checks: Readonly<Record<Format, (value: string) => void>> = {
  address: checkAddress,
  branch: (value) => {
    const fault = value.startsWith('refs/')
      ? 'give it without refs/heads/'
      : refFault(`refs/heads/${value}`);
    if (fault !== undefined) throw usage(value, `a branch name: ${fault}`);
  },
  description: checkText,
  duration: (value) => {
    if (readDurationMs(value) === undefined)
      throw usage(value, 'a duration', 'write 30s, 10m, 2h or 30d');
  },
  file: checkText,
  fingerprint: (value) => {
    if (!/^SHA256:[A-Za-z0-9+/]{43}$/.test(value)) {
      throw usage(value, 'a fingerprint', 'it begins with SHA256:, as sshkey list shows it');
    }
  },
  listen: checkText,
  moment: (value) => {
    readMoment(value, new Date(), 'ago');
  },
  name: (value) => {
    checkName(value, 'user or organization');
  },
  namespace: (value) => {
    checkNamespace(value, 'user or organization');
  },
  path: checkText,
  pattern: checkPattern,
  repo: (value) => {
    parseRepoPath(value);
  },
  server: (value) => {
    checkName(value, 'server');
  },
  'server-url': (value) => {
    parsePeerUrl(value);
  },
  rate: (value) => {
    if (value === 'unlimited' || readSizeBytes(value)) return;
    throw usage(value, 'a rate', 'write bytes a second: 500K, 20M, or unlimited');
  },
  text: checkText,
  url: checkText,
  who: checkWho,
};

/** @throws UserError `usage` when `value` does not have the format */
export function checkFormat(format: Format, value: string): void {
  checks[format](value);
}
