import { listOf } from '../core/peering/listing.ts';
import { rightsOn } from '../core/rights-on.ts';
import { UserError } from '../model/errors.ts';
import { matchesGlob } from '../model/glob.ts';
import type { Principal } from '../model/principal.ts';
import { type Decision, reaches, type Standing } from '../model/right.ts';
import { sizeText } from '../model/units.ts';
import type { Repository } from '../store/repositories.ts';
import type { Server } from '../store/servers.ts';
import type { Viewer } from '../store/viewer.ts';
import { boolean, integer, maybe, object, paged, string, time } from './answers.ts';
import { type Context, list as listCommand } from './command.ts';
import { findServer } from './servers.ts';

const pageRows = 500;

/** So long a list waits for the sizes of what has just changed. */
const measureMs = 500;

interface Row {
  name: string;
  /** null for one that is not registered. */
  id: string | null;
  description: string;
  visibility: string;
  default_branch: string;
  right: string;
  archived: boolean;
  size_bytes: number;
  refs: number;
  updated_at: string;
  fault?: string;
}

type Sort = 'name' | 'size' | 'updated';

/** A repository that somebody may read, and why. */
interface Decided extends Pick<Decision, 'right' | 'why'> {
  readonly repo: Repository;
}

/**
 * The repositories that a principal may read, in the order of their names, decided on page by page.
 *
 * @param options - whose repositories may be readable at all, and of which namespace
 */
export async function* decided(
  core: Context['core'],
  asker: { principal: Principal; standing: Standing },
  { viewer, namespaceId }: { viewer: Viewer; namespaceId?: string | undefined },
): AsyncGenerator<Decided> {
  const pages = paged<Decided>(async (last) => {
    const after = { namespace: last?.repo.namespace ?? '', name: last?.repo.name ?? '' };
    const options = { after, limit: pageRows, namespaceId };
    const repos = await core.store.repositories.page(viewer, options);
    const decisions = await rightsOn(core, asker, repos);
    return repos.map((repo, index) => ({ ...(decisions[index] as Decision), repo }));
  });
  for await (const each of pages) if (reaches(each.right, 'read')) yield each;
}

/** The repositories that whoever asks may read, in the order of their names, as far as a glob and a namespace go. */
export async function* readable(
  { core, principal, granted }: Context,
  { pattern, namespace }: { pattern?: string | undefined; namespace?: string | undefined },
): AsyncGenerator<Row> {
  const owner = namespace === undefined ? undefined : await core.store.names.find(namespace);
  if (namespace !== undefined && owner === undefined) {
    throw new UserError('not_found', `${namespace}: no such user or organization`);
  }
  const everything = granted.standing.kind === 'operator' || granted.standing.siteAdmin;
  const viewer =
    principal.kind === 'user' && !everything
      ? ({ kind: 'user', id: principal.id } as const)
      : ({ kind: 'all' } as const);
  const asker = { principal, standing: granted.standing };
  for await (const { repo, right } of decided(core, asker, {
    viewer,
    namespaceId: owner?.ownerId,
  })) {
    if (pattern !== undefined && !matchesGlob(pattern, repo.fullName)) continue;
    yield {
      name: repo.fullName,
      id: repo.id,
      description: repo.description,
      visibility: repo.visibility,
      default_branch: repo.defaultBranch,
      right,
      archived: repo.archived,
      size_bytes: repo.sizeBytes,
      refs: repo.refs,
      updated_at: repo.updatedAt,
    };
  }
}

/** By size or time: the largest and the newest first. */
async function* sorted(source: AsyncIterable<Row>, sort: Sort): AsyncGenerator<Row> {
  if (sort === 'name') {
    yield* source;
    return;
  }
  const all: Row[] = [];
  for await (const row of source) all.push(row);
  const compare = {
    size: (a: Row, b: Row) => b.size_bytes - a.size_bytes,
    updated: (a: Row, b: Row) => (a.updated_at < b.updated_at ? 1 : -1),
  };
  yield* all.sort(compare[sort]);
}

/** Bare repositories that lie there unregistered. */
async function* strays({ core }: Context, pattern: string | undefined): AsyncGenerator<Row> {
  for await (const each of core.adoption.strays()) {
    if (pattern !== undefined && !matchesGlob(pattern, each.fullName)) continue;
    yield {
      name: each.fullName,
      id: null,
      description: each.fault === undefined ? 'not registered' : `not registered: ${each.fault}`,
      visibility: 'private',
      default_branch: each.defaultBranch,
      right: 'none',
      archived: false,
      size_bytes: each.sizeBytes,
      refs: each.refs,
      updated_at: each.updatedAt,
      ...(each.fault === undefined ? {} : { fault: each.fault }),
    };
  }
}

/** What another server has for us, as far as a glob and a namespace go. */
async function* elsewhere(
  { core, by, signal }: Context,
  server: Server,
  { pattern, namespace }: { pattern?: string | undefined; namespace?: string | undefined },
): AsyncGenerator<Row> {
  for await (const row of listOf(core, server, { by, signal })) {
    if (pattern !== undefined && !matchesGlob(pattern, row.name)) continue;
    if (namespace !== undefined && !row.name.startsWith(`${namespace}/`)) continue;
    yield row;
  }
}

export const list = listCommand({
  words: 'list',
  summary: 'The repositories that you may read',
  examples: [
    'list',
    'list "acme/*" --sort updated',
    'list --namespace acme --json',
    'list --discover',
  ],
  args: {
    pattern: { type: 'string', format: 'pattern', description: 'a glob on the full name' },
    namespace: { type: 'string', format: 'name', description: "one user's or organization's only" },
    sort: { type: 'string', enum: ['name', 'size', 'updated'], description: 'name unless told' },
    discover: {
      type: 'boolean',
      description: 'what lies under repositories/ and is not registered',
    },
    server: { type: 'string', format: 'server', description: 'what that server has for us' },
    long: { type: 'boolean', description: 'with id, refs and description' },
  },
  positions: ['pattern'],
  row: object(
    {
      name: string,
      id: maybe,
      description: string,
      visibility: string,
      default_branch: string,
      right: string,
      archived: boolean,
      size_bytes: integer,
      refs: integer,
      updated_at: time,
    },
    { fault: string },
  ),
  columns: ['NAME', 'VISIBILITY', 'RIGHT', 'SIZE', 'UPDATED', 'ID', 'REFS', 'DESCRIPTION'],
  hidden: ({ long, discover }) => {
    if (long === true) return [];
    return discover === true ? ['VISIBILITY', 'RIGHT', 'ID'] : ['ID', 'REFS', 'DESCRIPTION'];
  },
  check: ({ discover, server }) => {
    if (discover !== true || server === undefined) return;
    throw new UserError('usage', 'list takes either --discover or --server');
  },
  needs: ({ discover, server }) => ({
    need: discover === true || server !== undefined ? 'site-admin' : 'account',
  }),
  run: async (context, { pattern, namespace, discover, server, sort = 'name' }) => {
    if (server !== undefined) {
      const found = await findServer(context, server);
      return sorted(elsewhere(context, found, { pattern, namespace }), sort as Sort);
    }
    if (discover === true) {
      const inside = namespace === undefined ? pattern : `${namespace}/*`;
      return sorted(strays(context, inside), sort as Sort);
    }
    // Sizes are measured half a second behind the pushes, and whoever pushed looks at once. Where so much is pushed that
    // measuring takes long, they are those of a moment before.
    await context.core.sizes.flushWithin(measureMs);
    return sorted(readable(context, { pattern, namespace }), sort as Sort);
  },
  cells: (row) => [
    row.name,
    row.visibility,
    row.right,
    sizeText(row.size_bytes),
    row.updated_at.slice(0, 16).replace('T', ' '),
    row.id ?? '',
    String(row.refs),
    row.description,
  ],
});
