import { call } from '../core/neighbors/greet.ts';
import { ownName } from '../core/neighbors/self.ts';
import { serverState } from '../core/peering/state.ts';
import { UserError } from '../model/errors.ts';
import { neighborName } from '../model/hello.ts';
import { fingerprint as fingerprintOf } from '../model/sshkey.ts';
import type { Neighbor } from '../store/neighbors.ts';
import {
  changed,
  integer,
  maybe,
  maybeInteger,
  maybeTime,
  object,
  string,
  time,
} from './answers.ts';
import { type Context, command, list } from './command.ts';

export const name = {
  type: 'string',
  format: 'server',
  description: 'nb-…, or its name once it is confirmed',
} as const;

/** @throws UserError `not_found` */
export async function findNeighbor(
  { core }: Pick<Context, 'core'>,
  wanted: string,
): Promise<Neighbor> {
  const found = await core.store.neighbors.byName(wanted);
  if (found !== undefined) return found;
  throw new UserError('not_found', `${wanted}: no such neighbor`, {
    hint: 'see them with: neighbors list; look for more with: neighbors discover --add',
  });
}

const stateOf = ({ serverId }: Neighbor) => (serverId === undefined ? 'unconfirmed' : 'confirmed');

const listNeighbors = list({
  words: 'neighbors list',
  summary: 'Servers of the local network: those that were added, and those that ask to pair',
  examples: ['neighbors list'],
  args: {},
  row: object({
    name: string,
    state: string,
    told_name: string,
    address: string,
    port: integer,
    fingerprint: string,
    version: maybe,
    public_repositories: maybeInteger,
    seen_at: maybeTime,
  }),
  columns: ['NAME', 'STATE', 'CALLS ITSELF', 'ADDRESS', 'PUBLIC', 'SEEN'],
  needs: () => ({ need: 'site-admin' }),
  run: async (context) => known(context),
  cells: (row) => [
    row.name,
    row.state,
    row.told_name,
    `${row.address}:${row.port}`,
    String(row.public_repositories ?? ''),
    row.seen_at ?? '',
  ],
});

async function* known({ core }: Context) {
  const all = await core.store.neighbors.list();
  for (const each of all) {
    const asks = each.serverId === undefined && core.pairings.find(each.key) !== undefined;
    yield {
      name: each.name,
      state: asks ? 'asking' : stateOf(each),
      told_name: each.toldName,
      address: each.address,
      port: each.port,
      fingerprint: each.fingerprint,
      version: each.version,
      public_repositories: each.publicRepositories,
      seen_at: each.seenAt,
    };
  }
  for (const { key, from, address } of core.pairings.list()) {
    if (all.some((each) => each.key.equals(key))) continue;
    yield {
      name: neighborName(key),
      state: 'asking',
      told_name: from.name,
      address,
      port: from.port,
      fingerprint: fingerprintOf(key),
      version: null,
      public_repositories: null,
      seen_at: null,
    };
  }
}

const lookMs = 3000;

const show = command({
  words: 'neighbors show',
  summary:
    'One neighbor: what it says of itself now, and its public repositories once it is confirmed',
  examples: ['neighbors show beta'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: object({
    name: string,
    state: string,
    told_name: string,
    address: string,
    fingerprint: string,
    version: string,
    status: string,
    latency_ms: integer,
    public_repositories: integer,
    repositories: { type: 'array', items: string },
  }),
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, signal } = context;
    const neighbor = await findNeighbor(context, args.name);
    const { address, port, key } = neighbor;
    const conversation = await call({ host: address, port, timeoutMs: lookMs, signal });
    try {
      const { hello, latencyMs } = conversation;
      if (!hello.key.equals(key)) {
        throw new UserError('denied', `${address}:${port} answers, and has another key`, {
          hint: 'find it again with: neighbors discover --add',
        });
      }
      const isConfirmed = neighbor.serverId !== undefined;
      return {
        name: neighbor.name,
        state: stateOf(neighbor),
        told_name: hello.name,
        address: `${address}:${port}`,
        fingerprint: neighbor.fingerprint,
        version: hello.version,
        status: hello.status,
        latency_ms: latencyMs,
        public_repositories: hello.publicRepositories,
        repositories: isConfirmed ? await conversation.names(await core.chain.signer()) : [],
      };
    } finally {
      conversation.close();
    }
  },
  text: (now) =>
    [
      `${now.name}  ${now.state}, calls itself ${now.told_name}, cpm ${now.version}`,
      `${now.address}  ${now.status}, ${now.latency_ms} ms`,
      `key ${now.fingerprint}`,
      `${now.public_repositories} public repositories`,
      ...now.repositories.map((each) => `  ${each}`),
    ].join('\n'),
});

const remove = command({
  words: 'neighbors remove',
  summary: 'Forget a neighbor: it may do nothing here any more; repositories stay',
  examples: ['neighbors remove nb-0123456789ab --yes'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: changed,
  changes: true,
  asks: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by } = context;
    const neighbor = await findNeighbor(context, args.name);
    const { serverId } = neighbor;
    const keys = serverId === undefined ? [] : await core.store.servers.keysOf(serverId);
    await core.store.neighbors.remove(neighbor, by);
    if (!by.dryRun) {
      core.pairings.end(neighbor.key);
      if (serverId !== undefined) core.couriers.sever({ id: serverId, name: neighbor.name });
      const why = new UserError('denied', 'this server is not known here any more');
      core.sessions.endKeys(
        keys.map(({ id }) => id),
        why,
      );
    }
    return { changed: true };
  },
  text: () => 'Removed.',
});

const status = command({
  words: 'neighbors status',
  summary: 'Whether this server is found by others, and how it stands with each neighbor',
  examples: ['neighbors status'],
  args: {},
  answer: object({
    name: string,
    listening: { type: 'array', items: string },
    neighbors: {
      type: 'array',
      items: object({
        name: string,
        address: string,
        state: string,
        latency_ms: maybeInteger,
        last_sync_at: maybeTime,
        behind_s: maybeInteger,
        pending: integer,
        conflicts: integer,
        error: maybe,
        seen_at: time,
      }),
    },
  }),
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core }) => {
    const neighbors = [];
    for (const each of await core.store.neighbors.list())
      neighbors.push(await standing(core, each));
    const listening = core.sessions.listeners.filter((url) => url.startsWith('git://'));
    return { name: ownName(core), listening, neighbors };
  },
  text: ({ name: own, listening, neighbors }) =>
    [
      listening.length === 0
        ? 'this server does not listen for neighbors: config set neighbors.listen 0.0.0.0:9418'
        : `found as ${own} at ${listening.join(', ')}`,
      ...neighbors.map(
        (each) =>
          `${each.name}  ${each.address}  ${each.state}, ${each.pending} pending, ${each.conflicts} conflicts, last sync ${each.last_sync_at ?? 'never'}${each.error === null ? '' : `: ${each.error}`}`,
      ),
    ].join('\n'),
});

const nothingYet = {
  ...{ latency_ms: null, last_sync_at: null, behind_s: null },
  ...{ pending: 0, conflicts: 0, error: null },
};

async function standing(core: Context['core'], neighbor: Neighbor) {
  const { name: own, address, serverId, seenAt: seen_at } = neighbor;
  const server = serverId === undefined ? undefined : await core.store.servers.byId(serverId);
  if (server === undefined)
    return { name: own, address, seen_at, state: 'unconfirmed', ...nothingYet };
  const { state, latency_ms, last_sync_at, behind_s, pending, conflicts, error } =
    await serverState(core, server);
  const health = { state, latency_ms, last_sync_at, behind_s };
  return { name: own, address, seen_at, ...health, pending, conflicts, error };
}

export const neighborsCommands = [listNeighbors, show, remove, status];
