import { pullPublic } from '../core/neighbors/public-pull.ts';
import { pullNew, pullRepo } from '../core/peering/pull.ts';
import { pushRepo } from '../core/peering/push.ts';
import type { Remote } from '../core/peering/remote.ts';
import { UserError } from '../model/errors.ts';
import { parseRepoPath } from '../model/repo.ts';
import type { Neighbor } from '../store/neighbors.ts';
import type { Repository } from '../store/repositories.ts';
import type { OneWay } from '../store/server-links.ts';
import type { Server } from '../store/servers.ts';
import { array, boolean, object, present, string } from './answers.ts';
import {
  allFor,
  answered,
  optionsOf,
  type RunRow,
  runAnswer,
  runRefusal,
  runText,
  runWith,
} from './carry.ts';
import { type Context, command } from './command.ts';
import { findNeighbor, name } from './neighbors.ts';

/** @throws UserError `denied` while it is not confirmed */
async function confirmedServer({ core }: Context, neighbor: Neighbor): Promise<Server> {
  const { serverId } = neighbor;
  const server = serverId === undefined ? undefined : await core.store.servers.byId(serverId);
  if (server !== undefined) return server;
  throw new UserError('denied', `${neighbor.name} is not confirmed: it can do nothing here`, {
    hint: `compare the words first: neighbors add ${neighbor.name}`,
  });
}

const share = command({
  words: 'neighbors share',
  summary: 'Keep repositories equal with a confirmed neighbor, both ways or one',
  examples: ['neighbors share beta acme/app', 'neighbors share beta acme/app acme/lib --push'],
  args: {
    name,
    repos: {
      type: 'array',
      items: { type: 'string', format: 'repo' },
      description: 'NAMESPACE/NAME, one or several',
    },
    pull: { type: 'boolean', description: 'only take from it' },
    push: { type: 'boolean', description: 'only send to it' },
  },
  positions: ['name', 'repos'],
  required: ['name', 'repos'],
  answer: object({ changed: boolean, shared: array(object({ repo: string, moves: string })) }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => `${args.name} ${args.repos.join(' ')}`,
  run: async (context, args) => {
    const { core, by, principal } = context;
    const server = await confirmedServer(context, await findNeighbor(context, args.name));
    const both = args.pull === args.push || (args.pull === true && args.push === true);
    const oneWay: OneWay | undefined = both ? undefined : args.pull === true ? 'in' : 'out';
    const paths = args.repos.map(parseRepoPath);
    const ask = { need: 'repos', paths, right: 'read' } as const;
    const { repos } = await core.access.authorize(principal, ask);
    const shared = [];
    let changed = false;
    for (const repo of present(repos)) {
      if (await core.store.serverLinks.share(server, repo, oneWay, by)) changed = true;
      shared.push({ repo: repo.fullName, moves: oneWay ?? 'both' });
    }
    return { changed, shared };
  },
  text: ({ shared }) => shared.map(({ repo, moves }) => `${repo}: ${wayText[moves]}`).join('\n'),
});

const wayText: Readonly<Record<string, string>> = {
  both: 'moves both ways, once it is shared there too',
  in: 'is taken from there',
  out: 'is sent there',
};

/** One repository with a confirmed neighbor: theirs is taken, then ours sent, as far as it is shared so. */
async function both(context: Context, server: Server, repos: readonly Shared[]) {
  const { core } = context;
  const options = optionsOf(context, {}, false);
  const rows: RunRow[] = [];
  const errors: UserError[] = [];
  const add = (done: { rows: RunRow[]; errors: UserError[] }) => {
    rows.push(...done.rows);
    errors.push(...done.errors);
  };
  const wayOf = async ({ repo }: Shared) =>
    repo && (await core.store.serverLinks.of(server.id, repo.id))?.oneWay;
  const pulled: Shared[] = [];
  const pushed: Shared[] = [];
  for (const each of repos) {
    const way = await wayOf(each);
    if (way !== 'out') pulled.push(each);
    if (way !== 'in' && each.repo !== undefined) pushed.push(each);
  }
  const pull = (remote: Remote, { fullName, repo }: Shared) =>
    repo === undefined
      ? pullNew(core, remote, { name: fullName, isAsked: true, ...options })
      : pullRepo(core, remote, { repo, ...options });
  const push = (remote: Remote, { repo }: Shared) =>
    pushRepo(core, remote, { repo: present(repo), ...options });
  add(await runWith(context, server, { repos: pulled, work: pull, options }));
  const failed = new Set(rows.filter(({ result }) => result === 'failed').map(({ repo }) => repo));
  const rest = pushed.filter(({ fullName }) => !failed.has(fullName));
  add(await runWith(context, server, { repos: rest, work: push, options }));
  return { rows, errors };
}

/** All that is shared with some neighbors. */
async function all(context: Context, servers: readonly Server[]) {
  const rows: RunRow[] = [];
  const errors: UserError[] = [];
  for (const server of servers) {
    const shared = await allFor(context, server);
    const repos = shared.map((repo) => ({ fullName: repo.fullName, repo }));
    const done = await both(context, server, repos);
    rows.push(...done.rows);
    errors.push(...done.errors);
  }
  return answered(context, rows, errors);
}

async function confirmedServers({ core }: Context): Promise<readonly Server[]> {
  const ids = (await core.store.neighbors.list()).flatMap(({ serverId }) => serverId ?? []);
  const found = await Promise.all(ids.map((id) => core.store.servers.byId(id)));
  return found.filter((server) => server !== undefined);
}

interface Shared {
  readonly fullName: string;
  /** undefined where it is not here yet. */
  readonly repo: Repository | undefined;
}

/** The repository of that name here; only a site admin asks, who may read them all. */
async function here({ core }: Context, wanted: string): Promise<Repository | undefined> {
  const { namespace, name: bare } = parseRepoPath(wanted);
  const owner = namespace === undefined ? undefined : await core.store.names.find(namespace);
  return owner && core.store.repositories.byName(owner.ownerId, bare);
}

/** A copy straight from its beacon: what is public, whoever it is. */
async function copy(context: Context, neighbor: Neighbor, { repo, into }: Copying) {
  const { core, by, principal, signal, progress } = context;
  const begun = performance.now();
  const done = await pullPublic(core, {
    ...{ neighbor, path: repo, into: into ?? repo },
    ...{ by, principal, signal, progress },
  });
  for (const note of done.notes) context.note(`${done.repo}: ${note}`);
  const row: Omit<RunRow, 'transport'> & { transport: 'git' } = {
    repo: done.repo,
    server: neighbor.name,
    transport: 'git',
    result: done.result,
    refs_updated: done.updated,
    refs_conflicted: done.conflicted,
    bytes_sent: 0,
    bytes_received: done.bytes,
    bytes_total: done.bytes,
    duration_ms: Math.round(performance.now() - begun),
  };
  return [row];
}

interface Copying {
  readonly repo: string;
  readonly into: string | undefined;
}

const sync = command({
  words: 'neighbors sync',
  summary: 'Sync what is shared with a neighbor now, or copy a public repository from any of them',
  examples: [
    'neighbors sync',
    'neighbors sync beta acme/app',
    'neighbors sync nb-0123456789ab acme/app --into acme/their-app',
  ],
  args: {
    name,
    repo: { type: 'string', format: 'repo', description: 'NAMESPACE/NAME over there' },
    into: { type: 'string', format: 'new-repo', description: 'what a copy is called here' },
  },
  positions: ['name', 'repo'],
  answer: runAnswer,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: ({ name: neighbor, repo }) => (repo === undefined ? neighbor : `${neighbor} ${repo}`),
  run: async (context, { name: wanted, repo, into }) => {
    const { core } = context;
    context.staySilent();
    if (wanted === undefined) return all(context, await confirmedServers(context));
    const neighbor = await findNeighbor(context, wanted);
    if (repo === undefined) return all(context, [await confirmedServer(context, neighbor)]);
    const found = await here(context, repo);
    const { serverId } = neighbor;
    const link = found && serverId && (await core.store.serverLinks.of(serverId, found.id));
    const isCopy = into !== undefined || (found && (await core.store.neighbors.copyOf(found.id)));
    if (link || (serverId !== undefined && !isCopy)) {
      const server = await confirmedServer(context, neighbor);
      const { rows, errors } = await both(context, server, [{ fullName: repo, repo: found }]);
      return answered(context, rows, errors);
    }
    return copy(context, neighbor, { repo, into });
  },
  text: runText,
  refusal: runRefusal,
});

export const neighborsSyncCommands = [share, sync];
