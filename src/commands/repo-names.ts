import { parseAlias, parseRepoName, parseRepoPath } from '../model/repo.ts';
import { ruleText } from '../model/rule.ts';
import { array, boolean, changed, object, paged, present, string } from './answers.ts';
import { type Command, type Context, command, list } from './command.ts';

const pageRows = 500;
const repo = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;

const rename = command({
  words: 'repo rename',
  summary: 'Give a repository another name, or another namespace; the old name leads readers to it',
  examples: ['repo rename acme/old-app new-app', 'repo rename acme/tool guests/tool'],
  args: {
    repo,
    new: {
      type: 'string',
      format: 'new-repo',
      description: 'NAME in the same namespace, or NAMESPACE/NAME',
    },
  },
  positions: ['repo', 'new'],
  required: ['repo', 'new'],
  answer: object(
    { changed: boolean, id: string, name: string, clone_url: string },
    { grants: array(object({ who: string, right: string })), rules: array(string) },
  ),
  changes: true,
  needs: (args) => ({
    need: 'rename',
    path: parseRepoPath(args.repo),
    to: parseRepoName(args.new),
  }),
  target: (args) => args.repo,
  run: async (context, args) => {
    const { core, by, granted } = context;
    const found = present(granted.repo);
    const namespace = present(granted.namespace);
    const { name } = parseRepoName(args.new);
    const fullName = `${namespace.name}/${name}` as const;
    const moves = namespace.ownerId !== found.namespaceId;
    const along = moves ? await goingAlong(context) : {};
    const to = { namespace, name, retakes: granted.retakes ?? [] };
    const done = await core.renames.repository(found, to, by);
    if (done && !by.dryRun) core.sizes.changed(found, core.repos.directory({ fullName }));
    return {
      changed: done,
      id: found.id,
      name: fullName,
      clone_url: core.cloneUrl(fullName),
      ...along,
    };
  },
  text: ({ changed: done, name, clone_url, grants = [], rules = [] }) =>
    [
      done ? `It is called ${name} now.` : `It is called ${name} already.`,
      clone_url,
      ...grants.map(({ who, right }) => `goes along: ${who} ${right}`),
      ...rules.map((rule) => `goes along: rule ${rule}`),
    ].join('\n'),
});

interface GoingAlong {
  readonly grants?: readonly { readonly who: string; readonly right: string }[];
  readonly rules?: readonly string[];
}

/** What a repository keeps in the new namespace, deploy keys among the grants, for whoever moves it to know (S10). */
async function goingAlong({ core, granted, note }: Context): Promise<GoingAlong> {
  const { id, namespace, namespaceId } = present(granted.repo);
  const { access, rules } = core.store;
  const left = [...(await access.listOn([namespaceId])), ...(await rules.listOn([namespaceId]))];
  if (left.length > 0) note(`what is granted and ruled on all of ${namespace} ends for it`);
  return {
    grants: (await access.listOn([id])).map(({ who, right }) => ({ who, right })),
    rules: (await rules.listOn([id])).map(
      (rule) => `${rule.number}: ${rule.pattern}: ${ruleText(rule)}`,
    ),
  };
}

function setArchived(verb: 'archive' | 'unarchive'): Command {
  const archived = verb === 'archive';
  return command({
    words: `repo ${verb}`,
    summary: archived
      ? 'Leave a repository as it is: it is read, not written'
      : 'Write to it again',
    examples: [`repo ${verb} acme/done`],
    args: { repo },
    positions: ['repo'],
    required: ['repo'],
    answer: changed,
    changes: true,
    needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'admin' }),
    target: (args) => args.repo,
    run: async ({ core, by, granted }) => ({
      changed: await core.repos.set(present(granted.repo), { archived }, by),
    }),
    text: (answer) => {
      if (!answer.changed) return archived ? 'Archived already.' : 'Not archived.';
      return archived ? 'Archived: it is read, not written.' : 'It is written again.';
    },
  });
}

const alias = {
  type: 'string',
  format: 'alias',
  description: 'the path, in any case and up to ten deep',
} as const;

const aliasAdd = command({
  words: 'repo alias add',
  summary: 'Let a path of another server lead to a repository, for reads and pushes',
  examples: ['repo alias add Old/Group/Thing.git acme/app'],
  args: { oldpath: alias, repo },
  positions: ['oldpath', 'repo'],
  required: ['oldpath', 'repo'],
  answer: changed,
  changes: true,
  needs: (args) => ({
    need: 'alias',
    alias: parseAlias(args.oldpath),
    path: parseRepoPath(args.repo),
  }),
  target: (args) => args.repo,
  run: async ({ core, by, granted }, args) => {
    const found = present(granted.repo);
    const text = parseAlias(args.oldpath);
    const name = granted.namespace === undefined ? '' : (text.split('/')[1] ?? '');
    const path = { namespaceId: granted.namespace?.ownerId ?? '', name, text };
    const { retakes = [] } = granted;
    return { changed: await core.store.aliases.add(found, { path, retakes }, by) };
  },
  text: (answer) => (answer.changed ? 'Added.' : 'It leads there already.'),
});

const aliasList = list({
  words: 'repo alias list',
  summary: 'The aliases of a repository; without one all that there are, for site admins',
  examples: ['repo alias list acme/app'],
  args: { repo },
  positions: ['repo'],
  row: object({ alias: string, repo: string }),
  columns: ['ALIAS', 'REPOSITORY'],
  needs: (args) =>
    args.repo === undefined
      ? { need: 'site-admin' }
      : { need: 'repo', path: parseRepoPath(args.repo), right: 'admin' },
  target: (args) => args.repo,
  run: async ({ core, granted }) => aliasRows(core, granted.repo?.id),
  cells: (row) => [row.alias, row.repo],
});

async function* aliasRows({ store: { aliases } }: Context['core'], repoId: string | undefined) {
  const found =
    repoId === undefined
      ? paged<{ path: string; repo: string }>((after) => aliases.page(after?.path ?? '', pageRows))
      : await aliases.ofRepo(repoId);
  for await (const each of found) yield { alias: each.path, repo: each.repo };
}

const aliasRemove = command({
  words: 'repo alias remove',
  summary: 'Take an alias away',
  examples: ['repo alias remove Old/Group/Thing.git'],
  args: { oldpath: alias },
  positions: ['oldpath'],
  required: ['oldpath'],
  answer: changed,
  changes: true,
  needs: (args) => ({ need: 'alias-of', alias: parseAlias(args.oldpath) }),
  target: (args) => parseAlias(args.oldpath),
  run: async ({ core, by }, args) => {
    const found = await core.store.aliases.find(parseAlias(args.oldpath));
    return { changed: found !== undefined && (await core.store.aliases.remove(found, by)) };
  },
  text: (answer) => (answer.changed ? 'Removed.' : 'It was gone already.'),
});

export const repoNameCommands = [
  rename,
  setArchived('archive'),
  setArchived('unarchive'),
  aliasAdd,
  aliasList,
  aliasRemove,
];
