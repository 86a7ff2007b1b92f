import { UserError } from '../model/errors.ts';
import type { User } from '../store/users.ts';
import { array, changedId, object, present, string } from './answers.ts';
import { type Context, command, list } from './command.ts';
import { changedWithKeys, tellingOrphans } from './deploy-keys.ts';

const org = { type: 'string', format: 'name', description: "the organization's name" } as const;
const team = { type: 'string', format: 'name', description: "the team's name" } as const;
const users = {
  type: 'array',
  items: { type: 'string', format: 'name' },
  description: 'members of the organization',
} as const;

async function named(core: Context['core'], names: readonly string[] = []): Promise<User[]> {
  const found: User[] = [];
  for (const name of names) {
    const user = await core.store.users.byName(name);
    if (user === undefined) throw new UserError('not_found', `${name}: no such user`);
    found.push(user);
  }
  return found;
}

const add = command({
  words: 'org team add',
  summary: 'Make a team, or put members into it',
  examples: ['org team add acme devs', 'org team add acme devs ana bo'],
  args: { org, team, user: users },
  positions: ['org', 'team', 'user'],
  required: ['org', 'team'],
  answer: changedId,
  changes: true,
  needs: (args) => ({ need: 'org', org: args.org, role: 'admin' }),
  target: (args) => `team:${args.org}/${args.team}`,
  run: async ({ core, by, granted }, args) =>
    core.store.teams.add(present(granted.org), args.team, await named(core, args.user), by),
  text: (answer) => (answer.changed ? 'Done.' : 'So it was already.'),
});

const remove = command({
  words: 'org team remove',
  summary: 'Take members out of a team; without any, end the team and its grants',
  examples: ['org team remove acme devs ana', 'org team remove acme devs'],
  args: { org, team, user: users },
  positions: ['org', 'team', 'user'],
  required: ['org', 'team'],
  answer: changedWithKeys,
  changes: true,
  needs: (args) => ({ need: 'org', org: args.org, role: 'admin' }),
  target: (args) => `team:${args.org}/${args.team}`,
  run: async (context, args) => {
    const { core, by, granted } = context;
    const from = present(granted.org);
    if ((await core.store.teams.find(from.id, args.team)) === undefined) {
      throw new UserError('not_found', `team:${args.org}/${args.team}: no such team`, {
        hint: `see them with: org team list ${args.org}`,
      });
    }
    const leaving = await named(core, args.user);
    return tellingOrphans(context, { orgId: from.id }, () =>
      core.store.teams.remove(from, args.team, leaving, by),
    );
  },
  text: (answer) => (answer.changed ? 'Done.' : 'So it was already.'),
});

const listTeams = list({
  words: 'org team list',
  summary: "An organization's teams and who is in them",
  examples: ['org team list acme'],
  args: { org },
  positions: ['org'],
  required: ['org'],
  row: object({ name: string, users: array(string) }),
  columns: ['TEAM', 'USERS'],
  needs: (args) => ({ need: 'org', org: args.org, role: undefined }),
  target: (args) => args.org,
  run: async ({ core, granted }) => teamRows(core, present(granted.org).id),
  cells: (row) => [row.name, row.users.join(', ')],
});

async function* teamRows(core: Context['core'], orgId: string) {
  yield* await core.store.teams.list(orgId);
}

export const teamCommands = [add, remove, listTeams];
