import { type Discovered, discover } from '../core/neighbors/discover.ts';
import { UserError } from '../model/errors.ts';
import { neighborName } from '../model/hello.ts';
import { fingerprint as fingerprintOf } from '../model/sshkey.ts';
import { readDurationMs } from '../model/units.ts';
import { boolean, integer, object, string } from './answers.ts';
import { type Command, type Context, list } from './command.ts';

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

/** Looks only; with `--add` it is the command above. */
export const neighborsDiscover = list({
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
