import { UserError } from '../model/errors.ts';
import { parsePublicKey } from '../model/sshkey.ts';
import type { User } from '../store/users.ts';
import {
  array,
  boolean,
  changed,
  integer,
  maybe,
  maybeTime,
  object,
  paged,
  present,
  string,
  time,
} from './answers.ts';
import { type Context, command, list } from './command.ts';
import { changedWithKeys, tellingOrphans } from './deploy-keys.ts';
import { endKeys } from './key-ends.ts';

const pageRows = 500;
const name = { type: 'string', format: 'name', description: "the user's name" } as const;

const row = {
  name: string,
  id: string,
  state: string,
  admin: boolean,
  keys: integer,
  created_at: time,
  last_seen_at: maybeTime,
};

function toRow(user: User, keys: number) {
  return {
    name: user.name,
    id: user.id,
    state: user.state,
    admin: user.admin,
    keys,
    created_at: user.createdAt,
    last_seen_at: user.lastSeenAt ?? null,
  };
}

const add = command({
  words: 'user add',
  summary: 'Add a user',
  examples: ['user add ana --key - < ana.pub', 'user add build --email build@example.org'],
  args: {
    name: { type: 'string', format: 'namespace', description: "the new user's name" },
    key: {
      type: 'string',
      format: 'file',
      description: 'a public key: a file, or - for standard input',
    },
    admin: { type: 'boolean', description: 'a site admin' },
    email: {
      type: 'string',
      format: 'text',
      description: 'for commits that cpm makes in their name',
    },
    'exist-ok': { type: 'boolean', description: 'an existing user is no fault' },
  },
  positions: ['name'],
  required: ['name'],
  answer: object({ changed: boolean, id: string, name: string }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async ({ core, by, readFile }, args) => {
    const key =
      args.key === undefined ? undefined : parsePublicKey(String(await readFile(args.key)));
    const { name: wanted, admin = false, email } = args;
    try {
      const id = await core.store.users.add({ name: wanted, admin, email, key }, by);
      return { changed: true, id, name: wanted };
    } catch (error) {
      const taken = error instanceof UserError && error.code === 'conflict';
      const held = taken ? await core.store.users.byName(wanted) : undefined;
      if (held === undefined || args['exist-ok'] !== true) throw error;
      return { changed: false, id: held.id, name: wanted };
    }
  },
  text: (answer) => `${answer.changed ? 'Added user' : 'There already: user'} ${answer.name}.`,
});

const listUsers = list({
  words: 'user list',
  summary: 'All users',
  examples: ['user list'],
  args: {},
  row: object(row),
  columns: ['NAME', 'STATE', 'ADMIN', 'KEYS', 'LAST SEEN'],
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core }) => userRows(core),
  cells: (user) => [
    user.name,
    user.state,
    user.admin ? 'admin' : '',
    String(user.keys),
    user.last_seen_at ?? 'never',
  ],
});

async function* userRows({ store, signIns }: Context['core']) {
  await signIns.flush();
  const { users } = store;
  const all = paged<User & { keys: number }>((after) => users.page(after?.name ?? '', pageRows));
  for await (const user of all) yield toRow(user, user.keys);
}

const show = command({
  words: 'user show',
  summary: 'One user, with keys',
  examples: ['user show ana'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: object({
    ...row,
    email: maybe,
    ssh_keys: array(object({ fingerprint: string, title: string, state: string })),
  }),
  needs: (args) => ({ need: 'self', user: args.name }),
  target: (args) => args.name,
  run: async ({ core, granted }) => {
    await core.signIns.flush();
    const user = present(await core.store.users.byId(present(granted.user).id));
    const keys = await core.store.keys.listOf(user.id);
    const live = keys.filter(({ state }) => state !== 'revoked');
    return {
      ...toRow(user, live.length),
      email: user.email ?? null,
      ssh_keys: keys.map(({ fingerprint, title, state }) => ({ fingerprint, title, state })),
    };
  },
  text: (user) =>
    [
      `${user.name}  ${user.state}${user.admin ? ', site admin' : ''}, since ${user.created_at}`,
      ...user.ssh_keys.map(({ fingerprint, title, state }) => `${fingerprint}  ${state}  ${title}`),
    ].join('\n'),
});

function setState(verb: 'disable' | 'enable') {
  const state = verb === 'disable' ? 'disabled' : 'active';
  return command({
    words: `user ${verb}`,
    summary: verb === 'disable' ? 'Take away all that a user may, at once' : 'Give it back',
    examples: [`user ${verb} ana`],
    args: { name },
    positions: ['name'],
    required: ['name'],
    answer: changedWithKeys,
    changes: true,
    needs: () => ({ need: 'site-admin' }),
    target: (args) => args.name,
    run: async (context, args) => {
      const { core, by } = context;
      const user = await named(core, args.name);
      const done = await tellingOrphans(context, { madeBy: user.id }, () =>
        core.store.users.setState(user, state, by),
      );
      if (verb === 'disable' && !by.dryRun) {
        core.sessions.endUser(
          user.id,
          new UserError('denied', `the account ${user.name} is disabled`),
        );
      }
      return done;
    },
    text: (answer) =>
      answer.changed ? `The account is ${state} now.` : `It was ${state} already.`,
  });
}

const remove = command({
  words: 'user delete',
  summary: 'End a user for good; the name stays reserved',
  examples: ['user delete ana --yes'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: changed,
  changes: true,
  asks: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by } = context;
    const user = await named(core, args.name);
    const ended = await core.store.users.remove(user, by);
    endKeys(context, ended, new UserError('denied', 'the key was revoked'));
    if (!by.dryRun) {
      core.sessions.endUser(
        user.id,
        new UserError('denied', `the account ${user.name} was deleted`),
      );
    }
    return { changed: true };
  },
  text: () => 'The user is gone; keys, grants and memberships with it.',
});

/** The user of a name. @throws UserError `not_found` */
export async function named(core: Context['core'], wanted: string): Promise<User> {
  const user = await core.store.users.byName(wanted);
  if (user !== undefined) return user;
  throw new UserError('not_found', `${wanted}: no such user`, { hint: 'see them with: user list' });
}

export const userCommands = [add, listUsers, show, setState('disable'), setState('enable'), remove];
