import type { Ask } from '../core/ask.ts';
import { UserError } from '../model/errors.ts';
import { parseRepoPath } from '../model/repo.ts';
import { type RefAct, type Rule, type RuleTerms, refActs, ruleText } from '../model/rule.ts';
import { readSizeBytes } from '../model/units.ts';
import type { RulePlace } from '../store/rules.ts';
import {
  array,
  boolean,
  changed,
  integer,
  maybeInteger,
  object,
  present,
  string,
} from './answers.ts';
import { type Context, command, list } from './command.ts';

const repo = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;
const org = { type: 'string', format: 'name', description: "the organization's name" } as const;
const pattern = {
  type: 'string',
  format: 'ref-pattern',
  description: 'a branch or a full ref; * crosses no slash, ** does',
} as const;
const id = {
  type: 'integer',
  minimum: 1,
  description: 'its number, as the list shows it',
} as const;

const flags = {
  deny: {
    type: 'array',
    items: { type: 'string', format: 'acts' },
    description: 'create, update, force, delete; several with commas',
  },
  allow: {
    type: 'array',
    items: { type: 'string', format: 'whom' },
    description: 'whom --deny does not mean; without --deny, who alone may write there',
  },
  require: {
    type: 'string',
    enum: ['signed'],
    description: 'what every commit and annotated tag must be',
  },
  'max-file': { type: 'string', format: 'size', description: 'the largest file: 500K, 20M, 2G' },
} as const;

interface Terms {
  readonly pattern: string;
  readonly deny?: readonly string[] | undefined;
  readonly allow?: readonly string[] | undefined;
  readonly require?: string | undefined;
  readonly 'max-file'?: string | undefined;
}

/** @throws UserError `usage` for a rule that asks nothing */
function checkTerms({ deny, allow, require, 'max-file': maxFile }: Terms): void {
  if ([deny, allow, require, maxFile].some((value) => value !== undefined)) return;
  throw new UserError('usage', 'rules add: what does the rule ask?', {
    hint: 'give --deny, --allow, --require or --max-file; repo protect is short for --deny force,delete',
  });
}

async function termsOf({ core }: Context, args: Terms): Promise<RuleTerms> {
  const acts = (args.deny ?? []).flatMap((each) => each.split(',')) as RefAct[];
  const names = (args.allow ?? []).flatMap((each) => each.split(','));
  return {
    pattern: args.pattern,
    deny: refActs.filter((act) => acts.includes(act)),
    allow: await core.rules.exceptions(names),
    isClosed: names.length > 0 && acts.length === 0,
    signed: args.require === 'signed',
    maxFileBytes: args['max-file'] === undefined ? undefined : readSizeBytes(args['max-file']),
  };
}

async function add(context: Context, terms: RuleTerms): Promise<{ changed: boolean; id: number }> {
  const { core, by } = context;
  const { number, added } = await core.store.rules.add(placeOf(context), terms, by);
  return { changed: added, id: number };
}

function placeOf({ granted }: Context): RulePlace & { readonly name: string } {
  if (granted.repo !== undefined) {
    return { kind: 'repo', id: granted.repo.id, name: granted.repo.fullName };
  }
  const { id: orgId, name } = present(granted.org);
  return { kind: 'org', id: orgId, name };
}

const row = object({
  id: integer,
  pattern: string,
  allow: array(string),
  deny: array({ type: 'string', enum: refActs }),
  require: array(string),
  max_file: maybeInteger,
  from: string,
});
const changedNumber = object({ changed: boolean, id: integer });
const columns = ['ID', 'PATTERN', 'RULE', 'FROM'];

interface Row {
  readonly rule: Rule;
  readonly from: string;
}

async function* rows(rules: readonly Rule[], nameOf: (on: Rule['on']) => string) {
  for (const rule of rules) yield shown({ rule, from: nameOf(rule.on) });
}

function shown({ rule, from }: Row) {
  return {
    id: rule.number,
    pattern: rule.pattern,
    allow: rule.allow.map(({ text }) => text),
    deny: rule.deny,
    require: rule.signed ? ['signed'] : [],
    max_file: rule.maxFileBytes ?? null,
    from,
  };
}

/** A row as people read it: what it asks in a few words. */
function cells(row: ReturnType<typeof shown>): readonly string[] {
  const terms = {
    pattern: row.pattern,
    deny: row.deny,
    allow: row.allow.map((text) => ({ kind: 'user' as const, id: text, text })),
    isClosed: row.deny.length === 0 && row.allow.length > 0,
    signed: row.require.length > 0,
    maxFileBytes: row.max_file ?? undefined,
  };
  return [String(row.id), row.pattern, ruleText(terms), row.from];
}

async function remove(context: Context, number: number): Promise<{ changed: boolean }> {
  const { core, by } = context;
  const place = placeOf(context);
  const removed = await core.store.rules.remove(place, number, by);
  if (removed !== undefined) return { changed: removed };
  throw new UserError('not_found', `${place.name} has no rule ${number}`, {
    hint: `see them with: ${place.kind} rules list ${place.name}`,
  });
}

const added = (answer: { changed: boolean; id: number }): string =>
  answer.changed ? `Rule ${answer.id} is in force.` : `Rule ${answer.id} asks that already.`;
const removed = (answer: { changed: boolean }): string =>
  answer.changed ? 'Removed.' : 'It was removed before.';
const ofRepo = (args: { repo: string }): Ask => ({
  need: 'repo',
  path: parseRepoPath(args.repo),
  right: 'admin',
});
const ofOrg = (args: { org: string }): Ask => ({ need: 'org', org: args.org, role: 'admin' });

const repoList = list({
  words: 'repo rules list',
  summary: 'What rules there are for the refs of a repository, its organization’s among them',
  examples: ['repo rules list acme/app'],
  args: { repo },
  positions: ['repo'],
  required: ['repo'],
  row,
  columns,
  needs: ofRepo,
  target: (args) => args.repo,
  run: async ({ core, granted }) => {
    const { id: repoId, namespaceId, fullName, namespace } = present(granted.repo);
    const rules = await core.store.rules.listOn([repoId, namespaceId]);
    return rows(rules, (on) => (on === 'repo' ? fullName : `org:${namespace}`));
  },
  cells,
});

const repoAdd = command({
  words: 'repo rules add',
  summary: 'Add a rule for refs: every rule that matches one must agree',
  examples: [
    'repo rules add acme/app "release/*" --deny force,delete --allow team:acme/devs',
    'repo rules add acme/app "**" --require signed --max-file 20M',
  ],
  args: { repo, pattern, ...flags },
  positions: ['repo', 'pattern'],
  required: ['repo', 'pattern'],
  answer: changedNumber,
  changes: true,
  needs: (args) => {
    checkTerms(args);
    return ofRepo(args);
  },
  target: (args) => args.repo,
  run: async (context, args) => add(context, await termsOf(context, args)),
  text: added,
});

const repoRemove = command({
  words: 'repo rules remove',
  summary: 'Take a rule away',
  examples: ['repo rules remove acme/app 1 --yes'],
  args: { repo, id },
  positions: ['repo', 'id'],
  required: ['repo', 'id'],
  answer: changed,
  changes: true,
  asks: true,
  needs: ofRepo,
  target: (args) => args.repo,
  run: (context, args) => remove(context, args.id),
  text: removed,
});

const protect = command({
  words: 'repo protect',
  summary: 'Let nobody force or delete a branch, the default branch unless told',
  examples: ['repo protect acme/app', 'repo protect acme/app "release/*"'],
  args: { repo, branch: pattern },
  positions: ['repo', 'branch'],
  required: ['repo'],
  answer: changedNumber,
  changes: true,
  needs: ofRepo,
  target: (args) => args.repo,
  run: async (context, args) =>
    add(context, {
      pattern: args.branch ?? present(context.granted.repo).defaultBranch,
      deny: ['force', 'delete'],
      allow: [],
      isClosed: false,
      signed: false,
      maxFileBytes: undefined,
    }),
  text: added,
});

const orgList = list({
  words: 'org rules list',
  summary: 'What rules there are for the refs of all repositories of an organization',
  examples: ['org rules list acme'],
  args: { org },
  positions: ['org'],
  required: ['org'],
  row,
  columns,
  needs: ofOrg,
  target: (args) => args.org,
  run: async ({ core, granted }) => {
    const { id: orgId, name } = present(granted.org);
    return rows(await core.store.rules.listOn([orgId]), () => `org:${name}`);
  },
  cells,
});

const orgAdd = command({
  words: 'org rules add',
  summary: 'Add a rule for the refs of all repositories; theirs may only be stricter',
  examples: ['org rules add acme "refs/tags/v*" --deny force,delete'],
  args: { org, pattern, ...flags },
  positions: ['org', 'pattern'],
  required: ['org', 'pattern'],
  answer: changedNumber,
  changes: true,
  needs: (args) => {
    checkTerms(args);
    return ofOrg(args);
  },
  target: (args) => args.org,
  run: async (context, args) => add(context, await termsOf(context, args)),
  text: added,
});

const orgRemove = command({
  words: 'org rules remove',
  summary: 'Take a rule of an organization away',
  examples: ['org rules remove acme 1 --yes'],
  args: { org, id },
  positions: ['org', 'id'],
  required: ['org', 'id'],
  answer: changed,
  changes: true,
  asks: true,
  needs: ofOrg,
  target: (args) => args.org,
  run: (context, args) => remove(context, args.id),
  text: removed,
});

export const repoRulesCommands = [repoList, repoAdd, repoRemove, protect];
export const orgRulesCommands = [orgList, orgAdd, orgRemove];
