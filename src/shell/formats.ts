import { isIP } from 'node:net';
import type { Format } from '../commands/command.ts';
import { readHead } from '../model/audit-head.ts';
import { messageFault } from '../model/commit.ts';
import { UserError } from '../model/errors.ts';
import { parseInvitation } from '../model/invitation.ts';
import { guessed, nearest } from '../model/nearest.ts';
import { parsePeerUrl } from '../model/peer.ts';
import { refFault } from '../model/ref.ts';
import { refPatternFault } from '../model/ref-pattern.ts';
import {
  checkName,
  checkNamespace,
  escapeControls,
  nameFault,
  parseAlias,
  parseRepoName,
  parseRepoPath,
  quoted,
} from '../model/repo.ts';
import { rights } from '../model/right.ts';
import { canMatchWritable, refActs } from '../model/rule.ts';
import { readDurationMs, readMoment, readSizeBytes } from '../model/units.ts';
import { isKey, nearestKey } from '../settings.ts';

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

function checkSetting(value: string): void {
  if (isKey(value)) return;
  const near = nearestKey(value);
  throw new UserError('usage', `${quoted(value)} is no setting`, {
    hint: near === undefined ? 'see them with: config list' : `did you mean ${near}?`,
  });
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
  const hint = 'write NAME, org:NAME, team:ORG/TEAM, server:NAME or key:FINGERPRINT';
  if (faulty) throw usage(value, 'a WHO', hint);
}

/** Whom a rule makes an exception for: a WHO, or all who have a right. */
function checkWhom(value: string): void {
  for (const each of value.split(',')) {
    const [, right] = /^right:(.*)$/.exec(each) ?? [];
    if (right === undefined) checkWho(each);
    else if (right === 'none' || !rights.some((known) => known === right)) {
      throw usage(each, 'a WHO', `behind right: comes one of: ${rights.slice(1).join(', ')}`);
    }
  }
}

function checkActs(value: string): void {
  for (const act of value.split(',')) {
    if (refActs.some((known) => known === act)) continue;
    const hint = guessed(nearest(act, refActs), `it is one of: ${refActs.join(', ')}`);
    throw usage(act, 'what a rule can deny', hint);
  }
}

function checkRefPattern(value: string): void {
  const fault =
    refPatternFault(value) ??
    (canMatchWritable(value) ? undefined : 'nobody can push there in any case');
  if (fault === undefined) return;
  throw usage(value, `a pattern of refs: ${fault}`, 'write main, release/*, ** or refs/tags/v*');
}

function checkRef(value: string): void {
  const fault = refFault(value.startsWith('refs/') ? value : `refs/heads/${value}`);
  if (fault !== undefined) throw usage(value, `a ref: ${fault}`);
}

function checkSize(value: string): void {
  if (readSizeBytes(value) === undefined)
    throw usage(value, 'a size', 'write 4096, 64K, 20M or 2G');
}

/** What each format lets through; every one of them looks at the text alone. @throws UserError `usage` */
const checks: Readonly<Record<Format, (value: string) => void>> = {
  acts: checkActs,
  address: checkAddress,
  alias: (value) => {
    parseAlias(value);
  },
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
  head: (value) => {
    if (readHead(value) === undefined) {
      throw new UserError('usage', 'a head is SEQ:HASH, as audit verify prints it');
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
  oid: (value) => {
    if (/^[0-9a-f]{7,40}$/.test(value)) return;
    throw usage(value, 'an object id', 'give 7 to 40 digits of it, 0-9 and a-f');
  },
  'new-repo': (value) => {
    parseRepoName(value);
  },
  path: checkText,
  pattern: checkPattern,
  ref: checkRef,
  'ref-pattern': checkRefPattern,
  refs: (value) => {
    const fault = refPatternFault(value);
    if (fault !== undefined) throw usage(value, `a pattern of refs: ${fault}`);
  },
  repo: (value) => {
    parseRepoPath(value);
  },
  server: (value) => {
    checkName(value, 'server');
  },
  invitation: (value) => {
    parseInvitation(value);
  },
  'server-url': (value) => {
    parsePeerUrl(value);
  },
  rate: (value) => {
    if (value === 'unlimited' || readSizeBytes(value)) return;
    throw usage(value, 'a rate', 'write bytes a second: 500K, 20M, or unlimited');
  },
  setting: checkSetting,
  size: checkSize,
  source: checkSource,
  text: checkText,
  url: checkText,
  value: (value) => {
    if (/^(@[1-9]\d{0,8}|[0-9a-fA-F]{4,40})$/.test(value)) return;
    readMoment(value, new Date(), 'ago');
  },
  uuid: (value) => {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)) throw usage(value, 'an id');
  },
  who: checkWho,
  whom: checkWhom,
};

/** @throws UserError `usage` when `value` does not have the format */
export function checkFormat(format: Format, value: string): void {
  checks[format](value);
}
