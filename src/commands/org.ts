import { UserError } from '../model/errors.ts';
import { grantable, type Right, type Role, rights, roles } from '../model/right.ts';
import { array, changed, changedId, object, paged, present, string } from './answers.ts';
import { type Context, command, list } from './command.ts';
import { changedWithKeys, tellingOrphans } from './deploy-keys.ts';
import { checkNotEmpty } from './usage.ts';

const pageRows = 500;
const org = { type: 'string', format: 'name', description: "the organization's name" } as const;
const user = { type: 'string', format: 'name', description: "the user's name" } as const;

const create = command({
  words: 'org create',
  summary: 'Create an organization; you are its first owner',
  examples: ['org create acme --description "All of ACME"'],
  args: {
    name: { type: 'string', format: 'namespace', description: 'its name' },
    description: { type: 'string', format: 'description', description: 'one line about it' },
    'exist-ok': { type: 'boolean', description: 'an existing organization is no fault' },
  },
  positions: ['name'],
  required: ['name'],
  answer: changedId,
  changes: true,
  needs: () => ({ need: 'org-create' }),
  target: ({ name }) => name,
  run: async ({ core, by, principal }, { name, description = '', ...flags }) => {
    const ownerId = principal.kind === 'user' ? principal.id : undefined;
    try {
      return { changed: true, id: await core.store.orgs.add({ name, description, ownerId }, by) };
    } catch (error) {
      const taken = error instanceof UserError && error.code === 'conflict';
      const held = taken ? await core.store.orgs.byName(name) : undefined;
      if (held === undefined || flags['exist-ok'] !== true) throw error;
      return { changed: false, id: held.id };
    }
  },
  text: (answer) => (answer.changed ? 'Created.' : 'There already.'),
});

const listOrgs = list({
  words: 'org list',
  summary: 'All organizations',
  examples: ['org list'],
  args: {},
  row: object({ name: string, description: string }),
  columns: ['NAME', 'DESCRIPTION'],
  needs: () => ({ need: 'account' }),
  run: async ({ core }) =>
    paged<{ name: string; description: string }>((after) =>
      core.store.orgs.page(after?.name ?? '', pageRows),
    ),
  cells: ({ name, description }) => [name, description],
});

const show = command({
  words: 'org show',
  summary: 'One organization: members and teams',
  examples: ['org show acme'],
  args: { org },
  positions: ['org'],
  required: ['org'],
  answer: object({
    name: string,
    id: string,
    description: string,
    member_right: { type: 'string', enum: rights },
    members: array(object({ user: string, role: string })),
    teams: array(object({ name: string, users: array(string) })),
  }),
  needs: (args) => ({ need: 'org', org: args.org, role: undefined }),
  target: (args) => args.org,
  run: async ({ core, granted }) => {
    const { id, name, description, memberRight } = present(granted.org);
    const members = await core.store.orgs.members(id);
    const teams = await core.store.teams.list(id);
    return { name, id, description, member_right: memberRight, members, teams };
  },
  text: (answer) =>
    [
      `${answer.name}  ${answer.description}`.trimEnd(),
      `members have: ${answer.member_right}`,
      ...answer.members.map((member) => `${member.role.padEnd(8)}${member.user}`),
      ...answer.teams.map((team) => `team ${team.name}: ${team.users.join(', ')}`),
    ].join('\n'),
});

async function changeRole(context: Context, to: Role | undefined) {
  const { core, by, granted } = context;
  const from = granted.from as Role | undefined;
  const found = present(granted.org);
  return tellingOrphans(context, { orgId: found.id }, () =>
    core.store.orgs.setRole(found, present(granted.user), { from, to }, by),
  );
}

const memberAdd = command({
  words: 'org member add',
  summary: 'Make a user a member',
  examples: ['org member add acme ana', 'org member add acme bo --role admin'],
  args: { org, user, role: { type: 'string', enum: roles, description: 'member unless told' } },
  positions: ['org', 'user'],
  required: ['org', 'user'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => ({ need: 'role', org: args.org, user: args.user, to: args.role ?? 'member' }),
  target: (args) => args.org,
  run: async (context, args) => {
    const held = context.granted.from;
    const to = args.role ?? 'member';
    if (held !== undefined && held !== to) {
      throw new UserError('conflict', `${args.user} has the role ${held} in ${args.org} already`, {
        hint: `change it with: org member role ${args.org} ${args.user} ${to}`,
      });
    }
    return changeRole(context, to);
  },
  text: (answer) => (answer.changed ? 'Added.' : 'A member already.'),
});

const memberRole = command({
  words: 'org member role',
  summary: "Change a member's role",
  examples: ['org member role acme ana owner'],
  args: { org, user, role: { type: 'string', enum: roles, description: 'the new role' } },
  positions: ['org', 'user', 'role'],
  required: ['org', 'user', 'role'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => ({ need: 'role', org: args.org, user: args.user, to: args.role }),
  target: (args) => args.org,
  run: async (context, args) => {
    if (context.granted.from === undefined) {
      throw new UserError('not_found', `${args.user} is no member of ${args.org}`, {
        hint: `add the user with: org member add ${args.org} ${args.user} --role ${args.role}`,
      });
    }
    return changeRole(context, args.role);
  },
  text: (answer) => (answer.changed ? 'Changed.' : 'That role already.'),
});

const memberRemove = command({
  words: 'org member remove',
  summary: 'Take a membership away, or leave',
  examples: ['org member remove acme ana'],
  args: { org, user },
  positions: ['org', 'user'],
  required: ['org', 'user'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => ({ need: 'role', org: args.org, user: args.user, to: undefined }),
  target: (args) => args.org,
  run: async (context) => changeRole(context, undefined),
  text: (answer) => (answer.changed ? 'Removed.' : 'Not a member.'),
});

const memberList = list({
  words: 'org member list',
  summary: 'The members and their roles',
  examples: ['org member list acme'],
  args: { org },
  positions: ['org'],
  required: ['org'],
  row: object({ user: string, role: string }),
  columns: ['USER', 'ROLE'],
  needs: (args) => ({ need: 'org', org: args.org, role: undefined }),
  target: (args) => args.org,
  run: async ({ core, granted }) => memberRows(core, present(granted.org).id),
  cells: (member) => [member.user, member.role],
});

async function* memberRows(core: Context['core'], orgId: string) {
  yield* await core.store.orgs.members(orgId);
}

const set = command({
  words: 'org set',
  summary: "Change an organization's description, or what the role member gives",
  examples: ['org set acme --member-right write'],
  args: {
    org,
    description: { type: 'string', format: 'description', description: 'one line about it' },
    'member-right': {
      type: 'string',
      enum: ['none', ...grantable],
      description: "what members may do with the organization's repositories",
    },
  },
  positions: ['org'],
  required: ['org'],
  answer: changedWithKeys,
  changes: true,
  check: ({ org: _, ...settings }) =>
    checkNotEmpty('org set', settings, '--description or --member-right'),
  needs: (args) => ({ need: 'org', org: args.org, role: 'admin' }),
  target: (args) => args.org,
  run: async (context, { description, 'member-right': memberRight }) => {
    const { core, by, granted } = context;
    const settings = { description, memberRight: memberRight as Right | undefined };
    const found = present(granted.org);
    return tellingOrphans(context, { orgId: found.id }, () =>
      core.store.orgs.set(found, settings, by),
    );
  },
  text: (answer) => (answer.changed ? 'Changed.' : 'As it was already.'),
});

const remove = command({
  words: 'org delete',
  summary: 'End an organization that has no repositories any more; the name stays reserved',
  examples: ['org delete guild --yes'],
  args: { org },
  positions: ['org'],
  required: ['org'],
  answer: changed,
  changes: true,
  asks: true,
  needs: (args) => ({ need: 'org', org: args.org, role: 'owner' }),
  target: (args) => args.org,
  run: async ({ core, by, granted }) => {
    await core.store.orgs.remove(present(granted.org), by);
    return { changed: true };
  },
  text: () => 'The organization is gone; teams, memberships and grants with it.',
});

export const orgCommands = [
  set,
  remove,
  create,
  listOrgs,
  show,
  memberAdd,
  memberRole,
  memberRemove,
  memberList,
];
