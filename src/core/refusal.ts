import type { Principal } from '../model/principal.ts';
import type { RefCommand } from '../model/ref.ts';
import { type RefAct, type Rule, ruleText } from '../model/rule.ts';
import type { Repository } from '../store/repositories.ts';

/** The repository that refs are in; one that is yet to be created has neither id nor default branch. */
export type RuledRepo = Pick<
  Repository,
  'id' | 'namespaceId' | 'namespace' | 'fullName' | 'visibility' | 'archived'
> & { readonly defaultBranch: string | undefined };

/** What refs are to be changed, by whom, where. */
export interface Wanted {
  readonly repo: RuledRepo;
  readonly principal: Principal;
  readonly commands: readonly RefCommand[];
  /** Every command counts as an update: an undo repairs what a force or a deletion did (S13). */
  readonly isRepair?: boolean | undefined;
}

/** Why a ref may not be changed, and what to do instead. */
export interface Refusal {
  readonly reason: string;
  readonly hint: string | undefined;
}

/** What a rule still asks of the objects themselves. */
export interface OpenQuestion {
  readonly rule: Rule;
  readonly about: 'forward' | 'signed' | 'max-file';
}

/** What the rules say to one command: a refusal, or what only the objects can tell. */
export interface Judgement {
  readonly refusal: Refusal | undefined;
  readonly open: readonly OpenQuestion[];
}

export function isDefaultBranch({ defaultBranch }: RuledRepo, ref: string): boolean {
  return ref === `refs/heads/${defaultBranch}`;
}

export function defaultBranchRefusal({ fullName }: RuledRepo): Refusal {
  return {
    reason: 'the default branch can not be deleted',
    hint: `an admin makes another one the default with: repo set ${fullName} --default-branch BRANCH`,
  };
}

/** `rule 3 of acme/app (no force, no deletion)` */
export function ruleName(rule: Rule, { fullName, namespace }: RuledRepo): string {
  const place = rule.on === 'repo' ? fullName : `org:${namespace}`;
  return `rule ${rule.number} of ${place} (${ruleText(rule)})`;
}

const acts: Readonly<Record<RefAct, string>> = {
  create: 'creation',
  update: 'update',
  force: 'force-push',
  delete: 'deletion',
};

/** A refusal of what is done to a ref, whatever is in it. */
export function refusalBy(
  rule: Rule,
  repo: RuledRepo,
  { ref, act }: { ref: string; act: RefAct },
): Refusal {
  const reason = `${acts[act]} refused by ${ruleName(rule, repo)}`;
  return { reason, hint: hintFor(rule, repo, { ref, act }) };
}

function hintFor(
  rule: Rule,
  { fullName, namespace }: RuledRepo,
  { ref, act }: { ref: string; act: RefAct },
): string {
  const isBranch = ref.startsWith('refs/heads/');
  if (act === 'force' && isBranch && !rule.isClosed && !rule.deny.includes('update')) {
    return 'git pull --rebase, then push; or push to another branch';
  }
  if (act === 'force' && ref.startsWith('refs/tags/'))
    return 'give the new version a tag of its own';
  const list = rule.on === 'repo' ? `repo rules list ${fullName}` : `org rules list ${namespace}`;
  if (act === 'update' && isBranch) {
    return `have it merged by somebody whom the rule allows; see it with: ${list}`;
  }
  return `an admin may change the rule; see it with: ${list}`;
}
