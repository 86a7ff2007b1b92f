import { type Discovered, discover } from '../core/neighbors/discover.ts';
import { ownName } from '../core/neighbors/self.ts';
import { serverState } from '../core/peering/state.ts';
import { UserError } from '../model/errors.ts';
import { neighborName } from '../model/hello.ts';
import { fingerprint as fingerprintOf } from '../model/sshkey.ts';
import { readDurationMs } from '../model/units.ts';
import type { Neighbor } from '../store/neighbors.ts';
import {
  boolean,
  changed,
  integer,
  maybe,
  maybeInteger,
  maybeTime,
  object,
  string,
  time,
} from './answers.ts';
import { type Command, type Context, command, list } from './command.ts';

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

const usualPort = 9418;
const usualTimeout = '2s';

const search = {
  network: {
    type: 'array',
    items: { type: 'string', format: 'network' },
    description: 'an IPv4 network, as 192.0.2.0/24; those of this machine unless told',
  },
  host: {
    type: 'array',
    items: { type: 'string', format: 'host' },
    description: 'one address or host name',
  },
  port: { type: 'integer', minimum: 1, description: `${usualPort} unless told` },
  timeout: {
    type: 'string',
    format: 'duration',
    description: `for each; ${usualTimeout} unless told`,
  },
  parallel: { type: 'integer', minimum: 1, description: 'connections at once; 50 unless told' },
  add: { type: 'boolean', description: 'register them, unconfirmed: they can do nothing' },
} as const;

interface SearchArgs {
  readonly network?: readonly string[] | undefined;
  readonly host?: readonly string[] | undefined;
  readonly port?: number | undefined;
  readonly timeout?: string | undefined;
  readonly parallel?: number | undefined;
}

const mostParallel = 500;

function checkSearch({ port = usualPort, parallel = 1 }: SearchArgs): void {
  if (port > 65535) throw new UserError('usage', `${port} is no port`);
  if (parallel > mostParallel) {
    throw new UserError('usage', `--parallel ${parallel}: ${mostParallel} at the most`);
  }
}

/** Where else than on its own networks a server looks is for the operator to say. */
function needsOf({ network, host }: SearchArgs) {
  return { need: network === undefined && host === undefined ? 'site-admin' : 'operator' } as const;
}

async function* rows(context: Context, args: SearchArgs, adds: boolean) {
  const { core, by, signal, progress, note } = context;
  context.staySilent();
  const { network = [], host = [], port = usualPort, timeout = usualTimeout, parallel } = args;
  const timeoutMs = readDurationMs(timeout) ?? 0;
  const where = { networks: network, hosts: host, port, timeoutMs, parallel };
  const how = { by: adds ? by : undefined, signal, progress, note };
  for await (const each of discover(core, { ...where, ...how })) yield rowOf(each, port);
}

function rowOf({ address, found, known }: Discovered, port: number) {
  const { hello, latencyMs } = found;
  return {
    address,
    port,
    name: hello.name,
    fingerprint: fingerprintOf(hello.key),
    version: hello.version,
    latency_ms: latencyMs,
    registered: known !== undefined,
    as: known?.name ?? neighborName(hello.key),
  };
}

const found = {
  row: object(
    {
      address: string,
      port: integer,
      name: string,
      fingerprint: string,
      version: string,
      latency_ms: integer,
      registered: boolean,
    },
    { as: string },
  ),
  columns: ['ADDRESS', 'NAME', 'AS', 'REGISTERED', 'MS', 'VERSION', 'FINGERPRINT'],
  cells: (row: ReturnType<typeof rowOf>) => [
    row.address,
    row.name,
    row.as,
    row.registered ? 'yes' : 'no',
    String(row.latency_ms),
    row.version,
    row.fingerprint,
  ],
};

const discoverAndAdd: Command = list({
  words: 'neighbors discover',
  summary: 'Look for cpm servers on the local networks, and register them',
  examples: [],
  args: search,
  ...found,
  changes: true,
  check: checkSearch,
  needs: needsOf,
  run: async (context, args) => rows(context, args, true),
});

const discoverOnly = list({
  words: 'neighbors discover',
  summary: 'Look for cpm servers on the local networks',
  examples: [
    'neighbors discover --network 127.0.0.1/32 --timeout 1s',
    'neighbors discover --host 127.0.0.1 --port 9418 --add',
  ],
  args: search,
  ...found,
  check: checkSearch,
  instead: ({ add }) => (add === true ? discoverAndAdd : undefined),
  needs: needsOf,
  run: async (context, args) => rows(context, args, false),
});

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

export const neighborsCommands = [discoverOnly, listNeighbors, remove, status];
