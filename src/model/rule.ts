import { nullOid, type RefCommand } from './ref.ts';
import { fullPattern, matchesRef } from './ref-pattern.ts';
import { sizeText } from './units.ts';

/** What can be done to a ref, in the order in which rules name it. An update moves a ref forward, a force elsewhere. */
export const refActs = ['create', 'update', 'force', 'delete'] as const;
export type RefAct = (typeof refActs)[number];

/** Whom a rule makes an exception for; `text` as the command line writes it. */
export interface RuleWho {
  readonly kind: 'user' | 'team' | 'org' | 'server' | 'key' | 'right';
  /** For `right` the right itself. */
  readonly id: string;
  readonly text: string;
}

/** What a rule asks, of whomever and wherever. */
export interface RuleTerms {
  /** A full ref or a branch name, with `*` and `**`. */
  readonly pattern: string;
  /** Empty where `allow` stands alone: then nobody else may do anything. */
  readonly deny: readonly RefAct[];
  readonly allow: readonly RuleWho[];
  /** Whether nobody but `allow` writes there. */
  readonly isClosed: boolean;
  readonly signed: boolean;
  readonly maxFileBytes: number | undefined;
}

/** A rule as it stands in a repository or organization. */
export interface Rule extends RuleTerms {
  /** Counted within its repository or organization, never used again. */
  readonly number: number;
  readonly on: 'repo' | 'org';
}

/** What a command may turn out to be; whether an update is a force, only the objects tell. */
export type Intent = RefAct | 'update-or-force';

/** Tags move by force alone, as in git's own clients: nobody expects one to move at all. */
export function intentOf({ ref, old, new: next }: RefCommand): Intent {
  if (next === nullOid) return 'delete';
  if (old === nullOid) return 'create';
  return ref.startsWith('refs/tags/') ? 'force' : 'update-or-force';
}

/** What a rule says to a change of a ref that it matches: `forward`: yes to an update, no to a force. */
export type Verdict = 'yes' | 'no' | 'forward';

/** @param excepted - whether the rule's `allow` names who asks */
export function verdictOf(rule: RuleTerms, intent: Intent, excepted: boolean): Verdict {
  if (excepted) return 'yes';
  if (rule.isClosed) return 'no';
  const denies = (act: RefAct): boolean => rule.deny.includes(act);
  switch (intent) {
    case 'create':
    case 'update':
    case 'delete':
      return denies(intent) ? 'no' : 'yes';
    case 'force':
      // A forced update is an update.
      return denies('force') || denies('update') ? 'no' : 'yes';
    default:
      if (denies('update')) return 'no';
      return denies('force') ? 'forward' : 'yes';
  }
}

/** Those of the rules that have a say about a ref. */
export function rulesFor<R extends RuleTerms>(rules: readonly R[], ref: string): readonly R[] {
  return rules.filter(({ pattern }) => matchesRef(pattern, ref));
}

const denied: Readonly<Record<RefAct, string>> = {
  create: 'no creation',
  update: 'no update',
  force: 'no force',
  delete: 'no deletion',
};

/** A rule in a few words: `no force, no deletion`. */
export function ruleText(rule: RuleTerms): string {
  const { deny, allow, isClosed, signed, maxFileBytes } = rule;
  const names = allow.map(({ text }) => text).join(', ');
  const parts = deny.map((act) => denied[act]);
  if (isClosed) parts.push(names === '' ? 'nobody writes here' : `only ${names} may write`);
  else if (parts.length > 0 && names !== '') parts.push(`except by ${names}`);
  if (signed) parts.push('signed commits only');
  if (maxFileBytes !== undefined) parts.push(`no file over ${sizeText(maxFileBytes)}`);
  return parts.join(', ');
}

/** Whether two rules ask the same of the same refs, however their patterns are spelled. */
export function sameTerms(one: RuleTerms, other: RuleTerms): boolean {
  return termsKey(one) === termsKey(other);
}

function termsKey({ pattern, deny, allow, isClosed, signed, maxFileBytes }: RuleTerms): string {
  const who = allow.map(({ kind, id }) => `${kind}:${id}`).sort();
  const acts = refActs.filter((act) => deny.includes(act));
  return JSON.stringify([fullPattern(pattern), acts, who, isClosed, signed, maxFileBytes]);
}

/** Whether a pattern could match a ref that can be written at all; others would only look as if they protected something. */
export function canMatchWritable(pattern: string): boolean {
  const [start = ''] = fullPattern(pattern).split('*');
  const isLiteral = !pattern.includes('*');
  return ['refs/heads/', 'refs/tags/', 'refs/notes/'].some(
    (prefix) => start.startsWith(prefix) || (!isLiteral && prefix.startsWith(start)),
  );
}
