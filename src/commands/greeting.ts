import { endWarning } from '../model/key-end.ts';
import { roles } from '../model/right.ts';
import { array, boolean, integer, maybe, maybeTime, object, string } from './answers.ts';
import { type Context, command } from './command.ts';
import { readable } from './list.ts';
import { identity, whoami } from './whoami.ts';

/** Repositories are counted so far: who greets a server with thousands of them waits no longer for it. */
const countedRepositories = 200;

async function reach(context: Context) {
  const { core, principal } = context;
  if (principal.kind === 'deploy-key') {
    const repositories = await core.store.deployKeys.reached(principal.keyId);
    return { orgs: [], repositories, more: false };
  }
  const orgs = principal.kind === 'user' ? await core.store.orgs.rolesOf(principal.id) : [];
  let repositories = 0;
  for await (const _repo of readable(context, {})) {
    if (repositories === countedRepositories) return { orgs, repositories, more: true };
    repositories += 1;
  }
  return { orgs, repositories, more: false };
}

const forUsers = [
  '  list            the repositories that you reach',
  '  init NAME       a new repository of your own',
  '  help            everything else',
];
const forDeployKeys = [
  '  git clone, fetch, push and archive work with this key, and besides:',
  '  whoami          which key this is, and until when',
  '  help            what people with a key of their own may do',
];

/** What `ssh cpm@server` alone answers. */
export const greeting = command({
  words: '',
  summary: 'Who you are, what you reach, and what to do next',
  examples: [],
  args: {},
  answer: object({
    user: string,
    admin: boolean,
    key: maybe,
    key_title: maybe,
    key_expires_at: maybeTime,
    server: string,
    orgs: array(object({ org: string, role: { type: 'string', enum: roles } })),
    repositories: integer,
    more: boolean,
  }),
  needs: () => ({ need: 'signed-in' }),
  run: async (context) => ({ ...(await identity(context)), ...(await reach(context)) }),
  text: (me) => {
    const what = me.repositories === 1 ? 'repository' : 'repositories';
    const orgs = me.orgs.map(({ org, role }) => `${org} (${role})`);
    const kind = me.user.startsWith('key:') ? ('deploy' as const) : ('user' as const);
    const key = { fingerprint: me.key ?? '', expiresAt: me.key_expires_at, kind };
    const warning = endWarning(key, new Date());
    return [
      `Welcome to cpm, ${whoami.text(me)}`,
      ...(warning === undefined ? [] : [warning]),
      `you reach: ${me.more ? 'more than ' : ''}${me.repositories} ${what}`,
      `organizations: ${orgs.length === 0 ? 'none' : orgs.join(', ')}`,
      '',
      ...(kind === 'deploy' ? forDeployKeys : forUsers),
    ].join('\n');
  },
});
