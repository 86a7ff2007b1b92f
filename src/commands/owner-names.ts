import type { Owner } from '../store/moves.ts';
import { boolean, object, present, string } from './answers.ts';
import { type Context, command } from './command.ts';
import { named } from './user.ts';

const answer = object({ changed: boolean, id: string, name: string });
const newName = { type: 'string', format: 'namespace', description: 'the new name' } as const;

const user = command({
  words: 'user rename',
  summary: 'Give a user another name; the old one stays reserved and leads readers to the new one',
  examples: ['user rename newhire hire'],
  args: {
    name: { type: 'string', format: 'name', description: "the user's name" },
    new: newName,
  },
  positions: ['name', 'new'],
  required: ['name', 'new'],
  answer,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { id, name } = await named(context.core, args.name);
    return renamed(context, { kind: 'user', id, name }, args.new);
  },
  text: textOf,
});

const org = command({
  words: 'org rename',
  summary: 'Give an organization another name; the old one stays reserved and leads readers to it',
  examples: ['org rename oldguild newguild'],
  args: {
    org: { type: 'string', format: 'name', description: "the organization's name" },
    new: newName,
  },
  positions: ['org', 'new'],
  required: ['org', 'new'],
  answer,
  changes: true,
  needs: (args) => ({ need: 'org', org: args.org, role: 'owner' }),
  target: (args) => args.org,
  run: async (context, args) => {
    const { id, name } = present(context.granted.org);
    return renamed(context, { kind: 'org', id, name }, args.new);
  },
  text: textOf,
});

async function renamed({ core, by }: Context, owner: Owner, name: string) {
  return { changed: await core.renames.owner(owner, name, by), id: owner.id, name };
}

function textOf({ changed, name }: { changed: boolean; name: string }): string {
  return changed ? `The name is ${name} now.` : `The name is ${name} already.`;
}

export const ownerNameCommands = [user, org];
