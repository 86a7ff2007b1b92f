import { type Heir, offboard as offboardUser } from '../core/offboard.ts';
import { UserError } from '../model/errors.ts';
import { nameFault } from '../model/repo.ts';
import { array, boolean, object, string } from './answers.ts';
import { type Context, command } from './command.ts';
import { named } from './user.ts';

export const offboard = command({
  words: 'user offboard',
  summary: 'Disable a leaver, and hand over repositories and organizations',
  examples: ['user offboard leaver --repos-to bo --yes'],
  args: {
    name: { type: 'string', format: 'name', description: "the leaver's name" },
    'repos-to': {
      type: 'string',
      format: 'who',
      description: 'who gets the repositories, and what else nobody would own: NAME or org:NAME',
    },
  },
  positions: ['name'],
  required: ['name'],
  answer: object({
    changed: boolean,
    id: string,
    repositories: array(object({ from: string, to: string })),
    organizations: array(string),
    deploy_keys: array(object({ fingerprint: string, title: string, on: string })),
  }),
  changes: true,
  asks: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by } = context;
    const user = await named(core, args.name);
    const heir = await heirOf(context, args['repos-to']);
    if (heir?.user?.id === user.id) {
      throw new UserError('usage', `${user.name} can't inherit from ${user.name}`);
    }
    const { disabled, repositories, orgs } = await offboardUser(core, { user, heir }, by);
    const left = heir === undefined ? await core.store.usage.repositoriesIn(user.id) : 0;
    if (left > 0) {
      const them = left === 1 ? 'one repository stays' : `${left} repositories stay`;
      context.note(`${them} with ${user.name}: hand over with --repos-to WHO`);
    }
    const changed = disabled || repositories.length + orgs.length > 0;
    const keys = await deployKeysOf(context, user.id);
    return {
      changed,
      id: user.id,
      repositories,
      organizations: orgs,
      deploy_keys: keys,
    };
  },
  text: ({ changed, repositories, organizations, deploy_keys }) =>
    [
      changed ? 'The account is disabled.' : 'It was disabled already, and owns nothing.',
      ...repositories.map(({ from, to }) => `${from} is called ${to} now`),
      ...organizations.map((org) => `${org} has another owner now`),
      ...deploy_keys.map(
        ({ fingerprint, title, on }) =>
          `to be rotated: deploy key ${fingerprint} (${title}) of ${on}`,
      ),
    ].join('\n'),
});

/** The deploy keys that a leaver added, whose private halves may have left too: they go on working. */
async function deployKeysOf({ core }: Context, madeBy: string) {
  const found = await core.store.deployKeys.within({ madeBy });
  return found.map(({ key, bound }) => ({
    fingerprint: key.fingerprint,
    title: key.title,
    on: bound.on.name,
  }));
}

async function heirOf({ core }: Context, who: string | undefined): Promise<Heir | undefined> {
  if (who === undefined) return undefined;
  const name = who.replace(/^org:/, '');
  const namespace = nameFault(name) === undefined ? await core.store.names.find(name) : undefined;
  const kind = who.startsWith('org:') ? 'org' : 'user';
  if (namespace?.kind !== kind) {
    throw new UserError('not_found', `${who}: nobody who could have repositories`, {
      hint: 'name a user, or an organization as org:NAME',
    });
  }
  if (kind === 'org') return { namespace, user: undefined };
  const user = await named(core, name);
  if (user.state === 'active') return { namespace, user };
  throw new UserError('conflict', `the account ${user.name} is ${user.state}`, {
    hint: 'name somebody who is still there',
  });
}
