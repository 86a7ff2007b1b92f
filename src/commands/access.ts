import { type Grantable, grantable, type Right } from '../model/right.ts';
import type { GrantRow } from '../store/access.ts';
import { object, present, string } from './answers.ts';
import { type Context, command, list } from './command.ts';
import { changedWithKeys, giveRight, refuseAdminKey, tellingOrphans } from './deploy-keys.ts';

const org = { type: 'string', format: 'name', description: "the organization's name" } as const;
const who = {
  type: 'string',
  format: 'who',
  description: 'NAME, org:NAME, team:ORG/TEAM, server:NAME or key:FINGERPRINT',
} as const;

function place({ granted }: Context): { kind: 'org'; id: string; name: string } {
  const { id, name } = present(granted.org);
  return { kind: 'org', id, name };
}

const listGrants = list({
  words: 'org access list',
  summary: "Who has been granted what on all of an organization's repositories",
  examples: ['org access list acme'],
  args: { org },
  positions: ['org'],
  required: ['org'],
  row: object({ who: string, right: string, via: string }),
  columns: ['WHO', 'RIGHT', 'VIA'],
  needs: (args) => ({ need: 'org', org: args.org, role: 'admin' }),
  target: (args) => args.org,
  run: async ({ core, granted }) => {
    const { id, name } = present(granted.org);
    return grantRows(await core.store.access.listOn([id]), `org:${name}`);
  },
  cells: (row) => [row.who, row.right, row.via],
});

async function* grantRows(grants: readonly GrantRow[], via: string) {
  for (const grant of grants) yield { who: grant.who, right: grant.right, via };
}

const grant = command({
  words: 'org access grant',
  summary: "Give a right on all of an organization's repositories, present and future",
  examples: ['org access grant acme team:acme/devs write'],
  args: { org, who, right: { type: 'string', enum: grantable, description: 'what they may do' } },
  positions: ['org', 'who', 'right'],
  required: ['org', 'who', 'right'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => {
    refuseAdminKey(args.who, args.right);
    return { need: 'org-grant', org: args.org, who: args.who, to: args.right as Grantable };
  },
  target: (args) => args.org,
  run: async (context, args) => {
    const on = place(context);
    return tellingOrphans(context, { orgId: on.id }, () =>
      giveRight(context, on, args.right as Grantable),
    );
  },
  text: (answer) => (answer.changed ? 'Granted.' : 'Granted already.'),
});

const revoke = command({
  words: 'org access revoke',
  summary: 'Take a right on all of an organization away',
  examples: ['org access revoke acme team:acme/devs'],
  args: { org, who },
  positions: ['org', 'who'],
  required: ['org', 'who'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => ({ need: 'org-grant', org: args.org, who: args.who, to: 'none' }),
  target: (args) => args.org,
  run: async (context) => {
    const { core, by, granted } = context;
    const who = present(granted.who);
    const on = place(context);
    const from = granted.from as Right;
    return tellingOrphans(context, { orgId: on.id }, () =>
      core.store.access.revoke(on, who, from, by),
    );
  },
  text: (answer) => (answer.changed ? 'Revoked.' : 'There was no such grant.'),
});

export const orgAccessCommands = [listGrants, grant, revoke];
