import { isIP } from 'node:net';
import type { Format } from '../commands/command.ts';
import { messageFault } from '../model/commit.ts';
import { UserError } from '../model/errors.ts';
import { refFault } from '../model/ref.ts';
import { refPatternFault } from '../model/ref-pattern.ts';
import {
  checkName,
  checkNamespace,
  escapeControls,
  nameFault,
  parseRepoPath,
  quoted,
} from '../model/repo.ts';
import { readDurationMs, readMoment } from '../model/units.ts';

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

function isFingerprint(value: string): boolean {
  return /^SHA256:[A-Za-z0-9+/]{43}$/.test(value);
}

function checkSource(value: string): void {
  const isFull = value.startsWith('refs/heads/') || value.startsWith('refs/tags/');
  const fault =
    value.startsWith('refs/') && !isFull
      ? 'only refs/heads/ and refs/tags/ can be merged'
      : refFault(isFull ? value : `refs/heads/${value}`);
  if (fault === undefined && !value.startsWith('-')) return;
  throw usage(value, `a branch or tag: ${fault ?? 'it begins with "-"'}`, 'give its exact name');
}

function checkWho(value: string): void {
  const [, kind, name = ''] = /^(?:([a-z]+):)?(.*)$/.exec(value) ?? [];
  const faults: Readonly<Record<string, () => boolean>> = {
    org: () => nameFault(name) !== undefined,
    server: () => nameFault(name) !== undefined,
    key: () => !isFingerprint(name),
    team: () =>
      !/^[^/]+\/[^/]+$/.test(name) || name.split('/').some((part) => nameFault(part) !== undefined),
  };
  const faulty = kind === undefined ? nameFault(name) !== undefined : (faults[kind]?.() ?? true);
  if (faulty) throw usage(value, 'a WHO', 'write NAME, org:NAME, team:ORG/TEAM or key:FINGERPRINT');
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
    if (!isFingerprint(value)) {
      throw usage(value, 'a fingerprint', 'it begins with SHA256:, as sshkey list shows it');
    }
  },
  listen: checkText,
  message: (value) => {
    const fault = messageFault(Buffer.from(value));
    if (fault !== undefined) throw new UserError('usage', `the message is no good: ${fault}`);
  },
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
  refs: (value) => {
    const fault = refPatternFault(value);
    if (fault !== undefined) throw usage(value, `a pattern of refs: ${fault}`);
  },
  repo: (value) => {
    parseRepoPath(value);
  },
  source: checkSource,
  text: checkText,
  url: checkText,
  uuid: (value) => {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)) throw usage(value, 'an id');
  },
  who: checkWho,
};

/** @throws UserError `usage` when `value` does not have the format */
export function checkFormat(format: Format, value: string): void {
  checks[format](value);
}
