import type { Core } from '../core/core.ts';
import { UserError } from '../model/errors.ts';
import { parseRepoPath } from '../model/repo.ts';
import { reaches } from '../model/right.ts';
import { readMoment, sizeText } from '../model/units.ts';
import type { TrashedRepository } from '../store/trash.ts';
import {
  array,
  boolean,
  integer,
  maybeTime,
  object,
  paged,
  present,
  string,
  time,
} from './answers.ts';
import { type Context, command, list } from './command.ts';

const pageRows = 500;

const repo = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;
const id = {
  type: 'string',
  format: 'uuid',
  description: 'which one, where several had the name; else the last deleted',
} as const;
const older = {
  type: 'string',
  format: 'moment',
  description: 'deleted before then, or longer ago than that: 30d',
} as const;

const remove = command({
  words: 'repo delete',
  summary: 'Move a repository into the trash, from where its owner can restore it',
  examples: ['repo delete acme/old --yes'],
  args: { repo },
  positions: ['repo'],
  required: ['repo'],
  answer: object({ changed: boolean, id: string, name: string, expires_at: maybeTime }),
  changes: true,
  asks: true,
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'owner' }),
  target: (args) => args.repo,
  run: async ({ core, by, granted }) => {
    const found = present(granted.repo);
    await core.trash.delete(found, by);
    const expires_at = expiryOf(core, new Date().toISOString());
    return { changed: true, id: found.id, name: found.fullName, expires_at };
  },
  text: (answer) =>
    `Moved ${answer.name} to the trash${answer.expires_at === null ? '' : `, kept until ${answer.expires_at}`}.\nback with: repo restore ${answer.name}`,
});

const restore = command({
  words: 'repo restore',
  summary: 'Take a repository out of the trash, with its grants, rules and history',
  examples: ['repo restore acme/old'],
  args: { repo, id },
  positions: ['repo'],
  required: ['repo'],
  answer: object({ changed: boolean, id: string, name: string, clone_url: string }),
  changes: true,
  needs: (args) => ({
    need: 'trashed',
    path: parseRepoPath(args.repo),
    id: args.id,
    restores: true,
  }),
  target: (args) => args.repo,
  run: async ({ core, by, granted }) => {
    const [found] = present(granted.trashed);
    const { id: foundId, fullName } = present(found);
    const { retakes } = granted;
    await core.trash.restore(present(found), by, { retakes }).catch((error) => {
      throw error instanceof UserError && error.code === 'conflict'
        ? inTheWay(fullName, error)
        : error;
    });
    return { changed: true, id: foundId, name: fullName, clone_url: core.cloneUrl(fullName) };
  },
  text: (answer) => `Restored ${answer.name}\n${answer.clone_url}`,
});

/** The name was given to another repository meanwhile. */
function inTheWay(fullName: string, cause: UserError): UserError {
  return new UserError('conflict', `${cause.message}; it stays in the trash`, {
    hint: `make room first, with: repo rename ${fullName} NEW`,
    cause,
  });
}

const row = {
  name: string,
  id: string,
  deleted_at: time,
  deleted_by: string,
  expires_at: maybeTime,
  size_bytes: integer,
  refs: integer,
} as const;

/** What of the trash is the asker's, the first deleted first. */
async function* mine(
  { core, principal, granted }: Context,
  { name, olderThan }: { name: string | undefined; olderThan: string | undefined },
): AsyncGenerator<TrashedRepository> {
  const { kind, siteAdmin } = granted.standing;
  const viewer =
    principal.kind === 'user' && kind === 'user' && !siteAdmin
      ? ({ kind: 'user', id: principal.id } as const)
      : ({ kind: 'all' } as const);
  const named = name === undefined ? undefined : present(granted.trashed);
  const all = paged<TrashedRepository>((last) =>
    core.store.trash.page(viewer, {
      after: { deletedAt: last?.deletedAt ?? '', id: last?.id ?? '' },
      limit: pageRows,
    }),
  );
  for await (const each of named ?? all) {
    if (olderThan !== undefined && each.deletedAt >= olderThan) continue;
    const { right } = await core.access.rightOn(principal, granted.standing, each);
    if (reaches(right, 'owner')) yield each;
  }
}

const trashList = list({
  words: 'repo trash list',
  summary: 'Your deleted repositories, and when they end',
  examples: ['repo trash list', 'repo trash list --older 30d --json'],
  args: { repo, older },
  positions: ['repo'],
  row: object(row),
  columns: ['NAME', 'DELETED', 'BY', 'EXPIRES', 'SIZE', 'ID'],
  needs: (args) => needsOf(args.repo),
  target: (args) => args.repo,
  run: async (context, args) => {
    const olderThan = args.older && readMoment(args.older, new Date(), 'ago');
    return shown(context.core, mine(context, { name: args.repo, olderThan }));
  },
  cells: (each) => [
    each.name,
    each.deleted_at.slice(0, 16).replace('T', ' '),
    each.deleted_by,
    each.expires_at?.slice(0, 10) ?? 'never',
    sizeText(each.size_bytes),
    each.id,
  ],
});

function needsOf(name: string | undefined) {
  if (name === undefined) return { need: 'account' } as const;
  return { need: 'trashed', path: parseRepoPath(name), id: undefined } as const;
}

async function* shown(core: Core, repos: AsyncIterable<TrashedRepository>) {
  for await (const each of repos) {
    yield {
      name: each.fullName,
      id: each.id,
      deleted_at: each.deletedAt,
      deleted_by: each.deletedBy,
      expires_at: expiryOf(core, each.deletedAt),
      size_bytes: each.sizeBytes,
      refs: each.refs,
    };
  }
}

function expiryOf({ config }: Core, deletedAt: string): string | null {
  const keepMs = config.values['trash.keep'];
  if (keepMs === Number.POSITIVE_INFINITY) return null;
  const at = new Date(Date.parse(deletedAt) + keepMs);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

const trashEmpty = command({
  words: 'repo trash empty',
  summary: 'End your deleted repositories for good',
  examples: ['repo trash empty acme/old --yes', 'repo trash empty --older 30d --yes'],
  args: { repo, older, id: { ...id, description: 'only this one' } },
  positions: ['repo'],
  answer: object({
    changed: boolean,
    removed: array(object({ name: string, id: string, size_bytes: integer })),
  }),
  changes: true,
  asks: true,
  needs: (args) =>
    args.repo === undefined
      ? needsOf(undefined)
      : ({ ...needsOf(args.repo), id: args.id } as const),
  target: (args) => args.repo,
  run: async (context, args) => {
    if (args.repo === undefined && args.id !== undefined) {
      throw new UserError('usage', 'repo trash empty: --id goes with the name it had');
    }
    const olderThan = args.older && readMoment(args.older, new Date(), 'ago');
    const removed: { name: string; id: string; size_bytes: number }[] = [];
    for await (const each of mine(context, { name: args.repo, olderThan })) {
      context.signal.throwIfAborted();
      await context.core.trash.remove(each, context.by);
      removed.push({ name: each.fullName, id: each.id, size_bytes: each.sizeBytes });
    }
    return { changed: removed.length > 0, removed };
  },
  text: ({ removed }) =>
    removed.length === 0
      ? 'Nothing to remove.'
      : removed.map((each) => `Removed ${each.name} (${sizeText(each.size_bytes)})`).join('\n'),
});

export const trashCommands = [remove, restore, trashList, trashEmpty];
