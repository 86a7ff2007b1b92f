import { stat } from 'node:fs/promises';
import type { NewRepo } from '../core/repos.ts';
import { UserError } from '../model/errors.ts';
import { parseRepoName, quoted, visibilities } from '../model/repo.ts';
import { boolean, object, present, string } from './answers.ts';
import { type Context, command } from './command.ts';

export const init = command({
  words: 'init',
  summary: 'Create a repository',
  examples: [
    'init acme/app',
    'init acme/copy --from - < app.bundle',
    'init notes --description "what I know" --visibility internal',
  ],
  args: {
    repo: {
      type: 'string',
      format: 'new-repo',
      description: 'NAMESPACE/NAME, or NAME in your own',
    },
    description: { type: 'string', format: 'description', description: 'one line about it' },
    visibility: { type: 'string', enum: visibilities, description: 'private unless told' },
    'default-branch': { type: 'string', format: 'branch', description: 'main unless told' },
    from: {
      type: 'string',
      format: 'path',
      description: 'a local repository to copy (the operator), or - for a bundle on standard input',
    },
    'exist-ok': { type: 'boolean', description: 'an existing repository is no fault' },
  },
  positions: ['repo'],
  required: ['repo'],
  answer: object({ changed: boolean, id: string, name: string, clone_url: string }),
  changes: true,
  needs: ({ repo }) => ({ need: 'create', path: parseRepoName(repo) }),
  target: ({ repo }) => repo,
  run: async (context, args) => {
    const { core, by, granted } = context;
    const namespace = present(granted.namespace);
    const { name } = parseRepoName(args.repo);
    const full = `${namespace.name}/${name}`;
    const settings = {
      description: args.description,
      visibility: args.visibility,
      defaultBranch: args['default-branch'],
    };
    try {
      const { retakes } = granted;
      const repo = { namespace, name, ...settings, retakes };
      const id = await (args.from === undefined
        ? core.repos.create(repo, by)
        : bringIn(context, repo, args.from));
      return { changed: true, id, name: full, clone_url: core.cloneUrl(full) };
    } catch (error) {
      const taken = error instanceof UserError && error.code === 'conflict';
      const held = taken
        ? await core.store.repositories.byName(namespace.ownerId, name)
        : undefined;
      if (held === undefined || args['exist-ok'] !== true) throw error;
      return { changed: false, id: held.id, name: full, clone_url: core.cloneUrl(full) };
    }
  },
  text: ({ changed, name, clone_url }) =>
    `${changed ? 'Created' : 'There already:'} ${name}\n${clone_url}`,
});

/** @returns the id of the new repository with all that a local one, or a bundle, has. */
async function bringIn(context: Context, repo: NewRepo, from: string): Promise<string> {
  const { core, by, signal, progress, note } = context;
  const source =
    from === '-'
      ? ({ kind: 'bundle', bytes: context.input() } as const)
      : ({ kind: 'repository', path: await localRepository(context, from) } as const);
  context.staySilent();
  const run = { by, action: 'init', signal, progress };
  const { id, refs } = await core.imports.create(repo, source, run);
  note(`${refs} refs came in`);
  return id;
}

async function localRepository(context: Context, from: string): Promise<string> {
  const path = context.resolvePath(from);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) return path;
  throw new UserError('usage', `${quoted(from)} is no directory`, {
    hint: 'name a git repository on this machine, or - for a bundle on standard input',
  });
}
