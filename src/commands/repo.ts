import { UserError } from '../model/errors.ts';
import { parseRepoPath, visibilities } from '../model/repo.ts';
import { type Grantable, grantable, type Right } from '../model/right.ts';
import { changed, object, present, string } from './answers.ts';
import { type Context, command, list } from './command.ts';
import { changedWithKeys, giveRight, refuseAdminKey, tellingOrphans } from './deploy-keys.ts';
import { effectiveRows } from './effective.ts';
import { checkNotEmpty } from './usage.ts';

const repo = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;
const who = {
  type: 'string',
  format: 'who',
  description: 'NAME, org:NAME, team:ORG/TEAM, server:NAME or key:FINGERPRINT',
} as const;

const set = command({
  words: 'repo set',
  summary: "Change a repository's description, visibility or default branch",
  examples: ['repo set acme/app --visibility internal', 'repo set acme/app --default-branch trunk'],
  args: {
    repo,
    description: { type: 'string', format: 'description', description: 'one line about it' },
    visibility: { type: 'string', enum: visibilities, description: 'who may read it' },
    'default-branch': { type: 'string', format: 'branch', description: 'an existing branch' },
  },
  positions: ['repo'],
  required: ['repo'],
  answer: changed,
  changes: true,
  check: ({ repo: _, ...settings }) =>
    checkNotEmpty('repo set', settings, '--description, --visibility or --default-branch'),
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'admin', alive: true }),
  target: (args) => args.repo,
  run: async ({ core, by, granted }, args) => {
    const found = present(granted.repo);
    const { description, visibility, 'default-branch': defaultBranch } = args;
    const empty = found.refs === 0;
    if (
      defaultBranch !== undefined &&
      !empty &&
      (await core.repos.tip(found, defaultBranch)) === undefined
    ) {
      throw new UserError('not_found', `${found.fullName} has no branch ${defaultBranch}`, {
        hint: `see its refs with: show ${found.fullName}`,
      });
    }
    return { changed: await core.repos.set(found, { description, visibility, defaultBranch }, by) };
  },
  text: (answer) => (answer.changed ? 'Changed.' : 'As it was already.'),
});

const accessList = list({
  words: 'repo access list',
  summary: 'Who has been granted what on a repository',
  examples: ['repo access list acme/app', 'repo access list acme/app --effective'],
  args: {
    repo,
    effective: { type: 'boolean', description: 'everybody who may, by whatever gives it' },
  },
  positions: ['repo'],
  required: ['repo'],
  row: object({ who: string, right: string, via: string }),
  columns: ['WHO', 'RIGHT', 'VIA'],
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'admin' }),
  target: (args) => args.repo,
  run: async ({ core, granted }, { effective }) => {
    const found = present(granted.repo);
    return effective === true ? effectiveRows(core, found) : accessRows(core, found);
  },
  cells: (row) => [row.who, row.right, row.via],
});

async function* accessRows(core: Context['core'], found: NonNullable<Context['granted']['repo']>) {
  for (const grant of await core.store.access.list(found)) {
    const via = grant.on === 'repo' ? found.fullName : `org:${found.namespace}`;
    yield { who: grant.who, right: grant.right as Right, via };
  }
}

const accessGrant = command({
  words: 'repo access grant',
  summary: 'Give a user, team or organization a right on a repository',
  examples: ['repo access grant acme/app ana write', 'repo access grant acme/app org:guests read'],
  args: { repo, who, right: { type: 'string', enum: grantable, description: 'what they may do' } },
  positions: ['repo', 'who', 'right'],
  required: ['repo', 'who', 'right'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => {
    refuseAdminKey(args.who, args.right);
    const path = parseRepoPath(args.repo);
    return { need: 'grant', path, who: args.who, to: args.right as Grantable };
  },
  target: (args) => args.repo,
  run: async (context, args) => {
    const repo = present(context.granted.repo);
    const on = { kind: 'repo', id: repo.id, name: repo.fullName } as const;
    return tellingOrphans(context, { repo }, () => giveRight(context, on, args.right as Grantable));
  },
  text: (answer) => (answer.changed ? 'Granted.' : 'Granted already.'),
});

const accessRevoke = command({
  words: 'repo access revoke',
  summary: 'Take a granted right away',
  examples: ['repo access revoke acme/app ana'],
  args: { repo, who },
  positions: ['repo', 'who'],
  required: ['repo', 'who'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => ({ need: 'grant', path: parseRepoPath(args.repo), who: args.who, to: 'none' }),
  target: (args) => args.repo,
  run: async (context) => {
    const { core, by, granted } = context;
    const repo = present(granted.repo);
    const on = { kind: 'repo', id: repo.id, name: repo.fullName } as const;
    return tellingOrphans(context, { repo }, () =>
      core.store.access.revoke(on, present(granted.who), granted.from as Right, by),
    );
  },
  text: (answer) => (answer.changed ? 'Revoked.' : 'There was no such grant.'),
});

export const repoCommands = [set, accessList, accessGrant, accessRevoke];
