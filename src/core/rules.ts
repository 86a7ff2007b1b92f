import type { Principal } from '../model/principal.ts';
import { nullOid, type RefCommand } from '../model/ref.ts';
import { type Right, reaches } from '../model/right.ts';
import {
  type Intent,
  intentOf,
  type RefAct,
  type Rule,
  type RuleWho,
  rulesFor,
  verdictOf,
} from '../model/rule.ts';
import type { Git } from '../programs/git.ts';
import type { ObjectPlace } from '../programs/new-objects.ts';
import type { Namespace } from '../store/names.ts';
import type { Store } from '../store/store.ts';
import type { AccessControl } from './access.ts';
import type { Lookup } from './lookup.ts';
import { judgeObjects } from './object-rules.ts';
import {
  defaultBranchRefusal,
  isDefaultBranch,
  type Judgement,
  type OpenQuestion,
  type Refusal,
  type RuledRepo,
  refusalBy,
  type Wanted,
} from './refusal.ts';
import { Signatures } from './signatures.ts';

/** How many matches of a rule and a ref are tried before others have the loop. */
const atOnce = 2000;

export interface RuleParts {
  readonly store: Store;
  readonly access: AccessControl;
  readonly git: Git;
  readonly lookup: Lookup;
}

/** Which rule refuses which ref, whoever changes it by whatever way (S13). */
export class Rules {
  readonly #store: Store;
  readonly #access: AccessControl;
  readonly #git: Git;
  readonly #lookup: Lookup;

  constructor({ store, access, git, lookup }: RuleParts) {
    this.#lookup = lookup;
    this.#store = store;
    this.#access = access;
    this.#git = git;
  }

  /** What can be said from the commands alone; in their order. Every rule of the repository and of its org must agree. */
  async judge(wanted: Wanted): Promise<readonly Judgement[]> {
    const { repo, commands } = wanted;
    const rules = await this.#store.rules.listOn([repo.id, repo.namespaceId]);
    const isExcepted = this.#exceptions(wanted);
    const judged: Judgement[] = [];
    let matches = 0;
    for (const command of commands) {
      matches += rules.length;
      if (matches > atOnce) {
        matches = 0;
        await new Promise(setImmediate);
      }
      judged.push(await judgeOne(wanted, command, { rules, isExcepted }));
    }
    return judged;
  }

  /**
   * What was left open, answered by the objects themselves: at the price of processes, so only where it has to be.
   *
   * @param judged - what `judge` said of the same commands
   * @returns per command, why not; undefined where allowed
   * @throws Error when git fails or is ended: then nothing may be allowed
   */
  async judgeObjects(
    wanted: Wanted,
    judged: readonly Judgement[],
    place: ObjectPlace,
  ): Promise<readonly (Refusal | undefined)[]> {
    const parts = { store: this.#store, access: this.#access, git: this.#git };
    const signatures = new Signatures(parts, wanted.repo);
    return judgeObjects({ git: this.#git, place, signatures }, wanted, judged);
  }

  /**
   * Whom a rule is to make an exception for.
   *
   * @param names - as the command line has them; twice is once
   * @throws UserError `not_found`
   */
  async exceptions(names: readonly string[]): Promise<readonly RuleWho[]> {
    const found: RuleWho[] = [];
    for (const name of new Set(names)) {
      const [, right] = /^right:(.*)$/.exec(name) ?? [];
      if (right !== undefined) found.push({ kind: 'right', id: right, text: name });
      else found.push(await this.#lookup.grantee(name));
    }
    return found;
  }

  /** Whether, and by which rule, somebody may not do this to a ref. */
  async refusalOf(
    repo: RuledRepo,
    principal: Principal,
    { ref, act }: { ref: string; act: RefAct },
  ): Promise<Refusal | undefined> {
    if (act === 'delete' && isDefaultBranch(repo, ref)) return defaultBranchRefusal(repo);
    const rules = rulesFor(await this.#store.rules.listOn([repo.id, repo.namespaceId]), ref);
    const isExcepted = this.#exceptions({ repo, principal });
    for (const rule of rules) {
      const verdict = verdictOf(rule, act, await isExcepted(rule));
      if (verdict === 'no') return refusalBy(rule, repo, { ref, act });
    }
    return undefined;
  }

  /** Tells whether a rule's `allow` means the asker; what that takes is looked up once, where it is needed. */
  #exceptions({
    repo,
    principal,
  }: Pick<Wanted, 'repo' | 'principal'>): (rule: Rule) => Promise<boolean> {
    let ids: Promise<ReadonlySet<string>> | undefined;
    let right: Promise<Right> | undefined;
    return async ({ allow }) => {
      for (const who of allow) {
        if (who.kind === 'right') {
          right ??= this.#rightOn(repo, principal);
          if (reaches(await right, who.id as Right)) return true;
        } else {
          ids ??= this.#idsOf(principal);
          if ((await ids).has(who.id)) return true;
        }
      }
      return false;
    };
  }

  async #idsOf(principal: Principal): Promise<ReadonlySet<string>> {
    switch (principal.kind) {
      case 'user':
        return this.#store.rules.idsOf(principal.id);
      case 'deploy-key':
        return new Set([principal.keyId]);
      case 'server':
        return new Set([principal.id]);
      default:
        return new Set();
    }
  }

  async #rightOn(repo: RuledRepo, principal: Principal): Promise<Right> {
    const standing = await this.#access.standing(principal);
    return (await this.#access.rightOn(principal, standing, repo)).right;
  }
}

/** A repository that a push is about to create: only its org has rules for it. */
export function unborn({ ownerId, name: namespace }: Namespace, name: string): RuledRepo {
  return {
    id: '',
    namespaceId: ownerId,
    namespace,
    fullName: `${namespace}/${name}`,
    visibility: 'private',
    archived: false,
    defaultBranch: undefined,
  };
}

async function judgeOne(
  { repo, isRepair }: Wanted,
  command: RefCommand,
  asked: { rules: readonly Rule[]; isExcepted: (rule: Rule) => Promise<boolean> },
): Promise<Judgement> {
  const { ref, new: next } = command;
  if (next === nullOid && isDefaultBranch(repo, ref)) {
    return { refusal: defaultBranchRefusal(repo), open: [] };
  }
  const intent: Intent = isRepair === true ? 'update' : intentOf(command);
  const open: OpenQuestion[] = [];
  for (const rule of rulesFor(asked.rules, ref)) {
    const verdict = verdictOf(rule, intent, await asked.isExcepted(rule));
    if (verdict === 'no') {
      const act = intent === 'update-or-force' ? 'update' : intent;
      return { refusal: refusalBy(rule, repo, { ref, act }), open: [] };
    }
    if (verdict === 'forward') open.push({ rule, about: 'forward' });
    if (next === nullOid) continue;
    if (rule.signed) open.push({ rule, about: 'signed' });
    if (rule.maxFileBytes !== undefined) open.push({ rule, about: 'max-file' });
  }
  return { refusal: undefined, open };
}
