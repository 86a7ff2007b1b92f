import { deploy } from '../core/elsewhere/deploy.ts';
import { type FetchedKey, fetchKeys } from '../core/elsewhere/fetch.ts';
import { UserError } from '../model/errors.ts';
import { parseAccount } from '../model/peer.ts';
import { checkName } from '../model/repo.ts';
import { publicKeyLine } from '../model/sshkey.ts';
import { array, boolean, object, string } from './answers.ts';
import { type Context, command } from './command.ts';

const where = {
  server: {
    type: 'string',
    format: 'text',
    description:
      "a registered server's name, cpm@HOST:PORT, or ACCOUNT@HOST:PORT of a plain account",
  },
  fingerprint: {
    type: 'string',
    format: 'fingerprint',
    description: 'of its host key, where it is not registered',
  },
  identity: {
    type: 'string',
    format: 'path',
    description:
      "a private key that opens it; this server's own and those in ~/.ssh are tried unless told",
  },
} as const;

/** A name, or an address. @throws UserError `usage` */
function checkServer({ server }: { readonly server: string }): void {
  if (server.includes('@')) parseAccount(server);
  else checkName(server, 'server');
}

function whereOf(
  { by, signal, resolvePath }: Context,
  args: { server: string; fingerprint?: string | undefined; identity?: string | undefined },
) {
  const { server, fingerprint } = args;
  const identity = args.identity === undefined ? undefined : resolvePath(args.identity);
  return { server, fingerprint, identity, by, signal };
}

const deployKey = command({
  words: 'sshkey deploy',
  summary:
    "Put this server's own key on another machine: on a cpm server it becomes a key of the person whose key opens it, on a plain account that has cpm it gets a line in authorized_keys which allows cpm there and nothing else",
  examples: [
    'sshkey deploy hq --identity ./id_ed25519',
    'sshkey deploy cpm@hq.example.org:2222 --fingerprint SHA256:…',
    'sshkey deploy git@hq.example.org --fingerprint SHA256:… --user ana',
  ],
  args: {
    ...where,
    user: {
      type: 'string',
      format: 'name',
      description:
        "whose key it becomes there, instead of one's own; a site admin there decides that",
    },
  },
  positions: ['server'],
  required: ['server'],
  answer: object({ changed: boolean, fingerprint: string, address: string, user: string }),
  changes: true,
  check: checkServer,
  needs: () => ({ need: 'operator' }),
  target: (args) => args.server,
  run: async (context, args) =>
    deploy(context.core, { ...whereOf(context, args), user: args.user }),
  text: ({ changed, fingerprint, address, user }) =>
    `${fingerprint} ${changed ? 'opens' : 'opened already'} ${address}, as ${user}.`,
});

const fetch = command({
  words: 'sshkey fetch',
  summary:
    'Show the public keys that another machine has: on a cpm server those of the person whose key opens it, on a plain account those in authorized_keys; with --import each that is agreed to becomes a key of a user here',
  examples: [
    'sshkey fetch hq --identity ./id_ed25519',
    'sshkey fetch hq --user ana --import ana --only SHA256:…',
    'sshkey fetch ana@host.example.org --fingerprint SHA256:… --import ana',
  ],
  args: {
    ...where,
    user: { type: 'string', format: 'name', description: 'whose keys there, instead of your own' },
    import: { type: 'string', format: 'name', description: 'the user here who gets them' },
    only: {
      type: 'array',
      items: { type: 'string', format: 'fingerprint' },
      description: 'a key to import; several times for several. On a terminal each is asked for',
    },
  },
  positions: ['server'],
  required: ['server'],
  answer: object({
    changed: boolean,
    address: string,
    keys: array(object({ fingerprint: string, title: string, public_key: string, state: string })),
  }),
  changes: true,
  check: (args) => {
    checkServer(args);
    if (args.only === undefined || args.import !== undefined) return;
    throw new UserError('usage', '--only says what to import, and for nobody', {
      hint: 'say whose they become here: --import USER',
    });
  },
  needs: () => ({ need: 'operator' }),
  target: (args) => [args.server, args.import].filter((each) => each !== undefined).join(' '),
  run: async (context, args) => {
    const { core, ask } = context;
    const userId = args.import && (await userNamed(context, args.import));
    if (userId !== undefined && args.only === undefined && ask === undefined) {
      throw new UserError('usage', 'keys are imported one by one: name each with --only', {
        hint: `see them with: sshkey fetch ${args.server}`,
      });
    }
    const where = { ...whereOf(context, args), user: args.user };
    const { address, keys } = await fetchKeys(core, where);
    const rows = [];
    for (const each of keys) {
      const state = await stateOf(context, each, { userId, only: args.only });
      const { fingerprint, title, key } = each;
      rows.push({ fingerprint, title, public_key: publicKeyLine(key, title), state });
    }
    return { changed: rows.some(({ state }) => state === 'imported'), address, keys: rows };
  },
  text: ({ address, keys }) =>
    keys.length === 0
      ? `${address} shows no key.`
      : keys
          .map(({ state, fingerprint, title }) => `${state}  ${fingerprint}  ${title}`)
          .join('\n'),
});

/** @returns the user's id. @throws UserError `not_found` */
async function userNamed({ core }: Context, name: string): Promise<string> {
  const user = await core.store.users.byName(name);
  if (user !== undefined) return user.id;
  throw new UserError('not_found', `${name}: no such user`, { hint: 'see them with: user list' });
}

/** Imports a key, where somebody wants just that one. @returns what has become of it */
async function stateOf(
  context: Context,
  { key, fingerprint, title }: FetchedKey,
  { userId, only }: { userId: string | undefined; only: readonly string[] | undefined },
): Promise<'new' | 'known' | 'imported'> {
  const { core, by } = context;
  const held = await core.store.keys.withFingerprint(fingerprint);
  if (held.length > 0) return 'known';
  if (userId === undefined) return 'new';
  const wanted =
    only === undefined
      ? await context.ask?.(`Import ${fingerprint} (${title})?`)
      : only.includes(fingerprint);
  if (wanted !== true) return 'new';
  const fresh = { key: { ...key, comment: title }, userId, verified: true };
  await core.store.keys.add(fresh, by);
  return 'imported';
}

export const sshkeyElsewhereCommands = [deployKey, fetch];
