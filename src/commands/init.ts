import { UserError } from '../model/errors.ts';
import { parseRepoName, visibilities } from '../model/repo.ts';
import { boolean, object, present, string } from './answers.ts';
import { command } from './command.ts';

export const init = command({
  words: 'init',
  summary: 'Create a repository',
  examples: ['init acme/app', 'init notes --description "what I know" --visibility internal'],
  args: {
    repo: {
      type: 'string',
      format: 'new-repo',
      description: 'NAMESPACE/NAME, or NAME in your own',
    },
    description: { type: 'string', format: 'description', description: 'one line about it' },
    visibility: { type: 'string', enum: visibilities, description: 'private unless told' },
    'default-branch': { type: 'string', format: 'branch', description: 'main unless told' },
    'exist-ok': { type: 'boolean', description: 'an existing repository is no fault' },
  },
  positions: ['repo'],
  required: ['repo'],
  answer: object({ changed: boolean, id: string, name: string, clone_url: string }),
  changes: true,
  needs: ({ repo }) => ({ need: 'create', path: parseRepoName(repo) }),
  target: ({ repo }) => repo,
  run: async ({ core, by, granted }, args) => {
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
      const id = await core.repos.create({ namespace, name, ...settings, retakes }, by);
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
