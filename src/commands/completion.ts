import { roleReaches } from '../model/right.ts';
import { object, string } from './answers.ts';
import { type Command, type Context, command, list } from './command.ts';
import { type Names, type Offer, type Wanted, wantedAt } from './complete.ts';
import { type Shell, scriptFor, shells } from './completion-scripts.ts';
import { readable } from './list.ts';

/** More than these help nobody who types. */
const mostNames = 200;
/** Repositories looked at for a name without a namespace. */
const mostLookedAt = 5000;

const script = command({
  words: 'completion',
  summary: 'A script that lets a shell complete commands, flags and names',
  examples: ['completion bash', 'completion zsh', 'completion fish'],
  args: { shell: { type: 'string', enum: shells, description: 'the shell that is to read it' } },
  positions: ['shell'],
  required: ['shell'],
  answer: object({ shell: string, script: string }),
  needs: () => ({ need: 'account' }),
  // Asked for over SSH it also makes a function of `cpm`, for machines that have none.
  run: async ({ core, local }, { shell }) => ({
    shell,
    script: scriptFor(shell as Shell, local ? undefined : core.cloneUrl('')),
  }),
  offline: async ({ shell }) => ({ shell, script: scriptFor(shell as Shell, undefined) }),
  text: (answer) => answer.script,
});

/** @param tree - asked for when it runs: these commands are themselves a part of it */
export function createCompletion(tree: () => readonly Command[]): readonly Command[] {
  const words = list({
    words: 'completion words',
    summary: 'What could stand in the place of the last word; the completion scripts ask it',
    examples: ['completion words -- repo se', 'completion words -- list --sort ""'],
    args: {
      word: {
        type: 'array',
        items: { type: 'string', format: 'text' },
        description: 'what was typed behind cpm, after --; the last word as far as it goes',
      },
    },
    positions: ['word'],
    unlisted: true,
    row: object({ word: string, about: string }),
    columns: ['WORD', 'ABOUT'],
    needs: () => ({ need: 'account' }),
    run: async (context, { word = [] }) => offered(context, wantedAt(word, tree())),
    offline: async ({ word = [] }) => {
      const wanted = wantedAt(word, tree());
      return wanted.names === undefined ? fixed(wanted.offers) : undefined;
    },
    cells: (row) => [row.word, row.about],
  });
  return [script, words];
}

async function* fixed(offers: readonly Offer[]): AsyncGenerator<Offer> {
  yield* offers;
}

async function* offered(context: Context, wanted: Wanted): AsyncGenerator<Offer> {
  yield* wanted.offers;
  if (wanted.names === undefined) return;
  let count = 0;
  for await (const name of named[wanted.names](context, wanted.typed)) {
    if (!name.startsWith(wanted.typed)) continue;
    yield { word: `${wanted.before}${name}`, about: '' };
    count += 1;
    if (count === mostNames) return;
  }
}

type Source = (context: Context, typed: string) => AsyncGenerator<string>;

const named: Readonly<Record<Names, Source>> = {
  repositories,
  users: ({ core }, typed) => beginning(core, typed, ['user']),
  orgs: ({ core }, typed) => beginning(core, typed, ['org']),
  namespaces: ({ core }, typed) => beginning(core, typed, ['user', 'org']),
  who: async function* (context, typed) {
    const { core } = context;
    yield* beginning(core, typed, ['user']);
    for await (const org of beginning(core, typed.replace(/^org:/, ''), ['org']))
      yield `org:${org}`;
    if (typed.startsWith('key:')) for await (const key of deployKeys(context)) yield `key:${key}`;
  },
  keys,
};

async function* beginning(
  core: Context['core'],
  typed: string,
  kinds: readonly ('user' | 'org')[],
): AsyncGenerator<string> {
  for (const kind of kinds) yield* await core.store.names.beginning(typed, kind, mostNames);
}

/** What may be read: by full names, and by bare ones where they lie in the asker's own namespace. */
async function* repositories(context: Context, typed: string): AsyncGenerator<string> {
  const { core, principal } = context;
  const [, namespace] = /^([^/]*)\//.exec(typed) ?? [];
  if (namespace !== undefined && (await core.store.names.find(namespace)) === undefined) return;
  let lookedAt = 0;
  for await (const { name } of readable(context, { namespace })) {
    yield name;
    const [owner, bare = ''] = name.split('/');
    if (typed !== '' && principal.kind === 'user' && owner === principal.name) yield bare;
    lookedAt += 1;
    if (lookedAt === mostLookedAt) return;
  }
}

/** One's own, and deploy keys of what one administers; the operator's and site admins' are everybody's. */
async function* keys(context: Context, typed: string): AsyncGenerator<string> {
  const { core, principal, granted } = context;
  const { standing } = granted;
  if (standing.siteAdmin || standing.kind === 'operator') {
    yield* await core.store.keys.beginning(typed, mostNames);
    return;
  }
  if (principal.kind !== 'user') return;
  for (const { fingerprint, state } of await core.store.keys.listOf(principal.id)) {
    if (state !== 'revoked') yield fingerprint;
  }
  yield* deployKeys(context);
}

/** Deploy keys of one's own namespace and of the organizations that one administers. */
async function* deployKeys({ core, principal }: Context): AsyncGenerator<string> {
  if (principal.kind !== 'user') return;
  const orgs = await core.store.orgs.rolesOf(principal.id);
  const namespaces = [principal.id];
  for (const { org, role } of orgs) {
    const found = roleReaches(role, 'admin') ? await core.store.orgs.byName(org) : undefined;
    if (found !== undefined) namespaces.push(found.id);
  }
  const told = new Set<string>();
  for (const orgId of namespaces) {
    for (const { key } of await core.store.deployKeys.within({ orgId })) told.add(key.fingerprint);
  }
  yield* told;
}
