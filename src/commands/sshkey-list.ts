import { administersBound } from '../core/key-access.ts';
import { parseRepoPath } from '../model/repo.ts';
import { publicKeyLine } from '../model/sshkey.ts';
import { readMoment } from '../model/units.ts';
import type { Key } from '../store/key-rows.ts';
import type { User } from '../store/users.ts';
import { array, maybe, maybeTime, object, paged, present, string, time } from './answers.ts';
import { type Context, command, list } from './command.ts';
import { boundRow, boundSchema, ownerOf } from './deploy-keys.ts';

const pageRows = 500;
const unusedFor = '90d';

const row = {
  fingerprint: string,
  type: string,
  title: string,
  owner: string,
  state: string,
  expires_at: maybeTime,
  added_at: time,
  added_by: string,
  last_used_at: maybeTime,
};

function toRow(key: Key, userName: string | undefined) {
  return {
    fingerprint: key.fingerprint,
    type: key.type,
    title: key.title,
    owner: ownerOf(key, userName),
    state: key.state,
    expires_at: key.expiresAt ?? null,
    added_at: key.addedAt,
    added_by: key.addedBy,
    last_used_at: key.lastUsedAt ?? null,
  };
}

type Row = ReturnType<typeof toRow> & { right?: string; refs?: string | null };

function cells(key: Row): readonly string[] {
  return [
    key.fingerprint,
    key.owner.startsWith('key:') ? 'deploy key' : key.owner,
    key.state,
    key.title,
    key.expires_at ?? 'never',
    key.last_used_at ?? 'never',
    key.right ?? '',
    key.refs ?? '',
  ];
}

const columns = ['FINGERPRINT', 'OWNER', 'STATE', 'TITLE', 'ENDS', 'LAST USED', 'RIGHT', 'REFS'];

const listKeys = list({
  words: 'sshkey list',
  summary: "Your keys, or a repository's deploy keys; the operator's list is everybody's",
  examples: ['sshkey list', 'sshkey list --user ana', 'sshkey list --repo acme/app'],
  args: {
    user: { type: 'string', format: 'name', description: 'whose, instead of your own' },
    repo: { type: 'string', format: 'repo', description: 'the deploy keys that reach it' },
  },
  row: object(row, { right: string, refs: maybe }),
  columns,
  hidden: ({ repo }) => (repo === undefined ? ['RIGHT', 'REFS'] : []),
  needs: ({ user, repo }) => {
    if (repo !== undefined) return { need: 'repo', path: parseRepoPath(repo), right: 'admin' };
    return user === undefined ? { need: 'account' } : { need: 'self', user };
  },
  target: (args) => args.repo ?? args.user,
  run: async ({ core, principal, granted }) => {
    await core.signIns.flush();
    if (granted.repo !== undefined) return deployRows(core, granted.repo);
    const owner = granted.user ?? (principal.kind === 'user' ? principal : undefined);
    return owner === undefined ? everybodysRows(core) : ownRows(core, owner);
  },
  cells,
});

async function* ownRows(
  core: Context['core'],
  owner: { id: string; name: string },
): AsyncGenerator<Row> {
  for (const key of await core.store.keys.listOf(owner.id)) yield toRow(key, owner.name);
}

async function* deployRows(
  core: Context['core'],
  repo: { id: string; namespaceId: string },
): AsyncGenerator<Row> {
  for (const { key, bound } of await core.store.deployKeys.within({ repo })) {
    yield { ...toRow(key, undefined), right: bound.right, refs: bound.refs ?? null };
  }
}

async function* everybodysRows(core: Context['core']): AsyncGenerator<Row> {
  const { users, deployKeys } = core.store;
  const all = paged<User>((after) => users.page(after?.name ?? '', pageRows));
  for await (const user of all) yield* ownRows(core, user);
  const bound = paged<Key>((after) => deployKeys.page(after?.id ?? '', pageRows));
  for await (const key of bound) yield toRow(key, undefined);
}

const show = command({
  words: 'sshkey show',
  summary: 'One key: whose it is, what it may do, which keys it added',
  examples: ['sshkey show SHA256:…'],
  args: {
    fingerprint: { type: 'string', format: 'fingerprint', description: 'as sshkey list shows it' },
  },
  positions: ['fingerprint'],
  required: ['fingerprint'],
  answer: object({
    ...row,
    public_key: string,
    bindings: array(boundSchema),
    added: array(object({ fingerprint: string, title: string, state: string })),
  }),
  needs: ({ fingerprint }) => ({ need: 'key', fingerprint, act: 'see' }),
  target: (args) => args.fingerprint,
  run: async (context) => {
    const { core, granted, principal } = context;
    const key = present(granted.key);
    const bindings = await core.store.deployKeys.bindingsOf(key.id);
    const seen = [];
    for (const bound of bindings) {
      const mine = principal.kind === 'user' && administersBound(core, principal.id, bound);
      if (granted.decision.allowed || (await mine)) seen.push(boundRow(bound));
    }
    const added = await core.store.keys.addedWith(key.id);
    return {
      ...toRow(key, granted.user?.name),
      public_key: publicKeyLine(key as Parameters<typeof publicKeyLine>[0], key.title),
      bindings: seen,
      added: added.map(({ fingerprint, title, state }) => ({ fingerprint, title, state })),
    };
  },
  text: (key) =>
    [
      `${key.fingerprint}  ${key.state}, ${key.title}`,
      `owner: ${key.owner.startsWith('key:') ? 'nobody, a deploy key' : key.owner}`,
      `added: ${key.added_at} by ${key.added_by}`,
      `ends: ${key.expires_at ?? 'never'}, last used: ${key.last_used_at ?? 'never'}`,
      ...key.bindings.map(
        ({ on, right, refs }) => `may ${right} ${on}${refs === null ? '' : `, refs ${refs}`}`,
      ),
      ...key.added.map(
        ({ fingerprint, title, state }) => `added: ${fingerprint} ${state} ${title}`,
      ),
      key.public_key,
    ].join('\n'),
});

const unused = list({
  words: 'sshkey unused',
  summary:
    "Keys in force that nobody has signed in with for long; a site admin's list is everybody's",
  examples: ['sshkey unused', 'sshkey unused --older 30d', 'sshkey unused --user ana'],
  args: {
    older: { type: 'string', format: 'moment', description: `${unusedFor} unless told, or a time` },
    user: { type: 'string', format: 'name', description: "one user's only" },
  },
  row: object(row),
  columns,
  hidden: () => ['RIGHT', 'REFS'],
  needs: ({ user }) => (user === undefined ? { need: 'account' } : { need: 'self', user }),
  target: (args) => args.user,
  run: async ({ core, principal, granted }, args) => {
    // Last uses are written down with a delay; a key that was used just now is not unused.
    await core.signIns.flush();
    const { standing, user } = granted;
    const everybodys = standing.kind === 'operator' || standing.siteAdmin;
    const mine = principal.kind === 'user' && !everybodys ? principal.id : undefined;
    const before = readMoment(args.older ?? unusedFor, new Date(), 'ago');
    return unusedRows(core, { before, userId: user?.id ?? mine });
  },
  cells,
});

async function* unusedRows(
  core: Context['core'],
  filter: { before: string; userId: string | undefined },
): AsyncGenerator<Row> {
  const keys = paged<Key>((after) => core.store.keys.unused(filter, { after, limit: pageRows }));
  for await (const key of keys) {
    const user = key.userId === undefined ? undefined : await core.store.users.byId(key.userId);
    yield toRow(key, user?.name);
  }
}

export const sshkeyListCommands = [listKeys, show, unused];
