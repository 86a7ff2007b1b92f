import { readFile } from 'node:fs/promises';
import { probe } from '../core/peering/probe.ts';
import { type ServerState, serverState, syncStates } from '../core/peering/state.ts';
import {
  array,
  boolean,
  integer,
  maybe,
  maybeInteger,
  maybeTime,
  object,
  string,
} from './answers.ts';
import { type Context, command, list } from './command.ts';
import { findServer, name } from './servers.ts';

const fields = {
  name: string,
  url: maybe,
  role: string,
  state: string,
  latency_ms: maybeInteger,
  last_sync_at: maybeTime,
  behind_s: maybeInteger,
  pending: integer,
  conflicts: integer,
  error: maybe,
};
const columns = [
  'NAME',
  'URL',
  'ROLE',
  'STATE',
  'LAST SYNC',
  'BEHIND',
  'PENDING',
  'CONFLICTS',
  'ERROR',
];

function cells(row: ServerState): readonly string[] {
  return [
    row.name,
    row.url ?? '',
    row.role,
    row.state,
    row.last_sync_at ?? 'never',
    row.behind_s === null ? '' : `${row.behind_s} s`,
    String(row.pending),
    String(row.conflicts),
    row.error ?? '',
  ];
}

const listServers = list({
  words: 'servers list',
  summary: 'The servers that are known here, and how things stand with each',
  examples: ['servers list', 'servers list --json'],
  args: {},
  row: object(fields),
  columns,
  needs: () => ({ need: 'site-admin' }),
  run: async (context) => rows(context, false),
  cells,
});

const status = list({
  words: 'servers status',
  summary: 'The same, after a look at each server now',
  examples: ['servers status'],
  args: {},
  row: object(fields),
  columns,
  needs: () => ({ need: 'site-admin' }),
  run: async (context) => rows(context, true),
  cells,
});

async function* rows({ core, by, signal }: Context, looks: boolean) {
  for (const { id, url, state } of await core.store.servers.list()) {
    const before = await core.store.servers.byId(id);
    if (before === undefined) continue;
    if (looks && url !== undefined && state !== 'untrusted') {
      await probe(core, before, { by, signal });
    }
    yield serverState(core, (await core.store.servers.byId(id)) ?? before);
  }
}

const show = command({
  words: 'servers show',
  summary: 'One server: its keys, its links and the last sync of each',
  examples: ['servers show b'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: object({
    ...fields,
    id: string,
    host_key: maybe,
    keys: array(string),
    bandwidth: maybeInteger,
    links: array(
      object({
        repo: string,
        born_there: boolean,
        state: string,
        behind_s: maybeInteger,
        last_sync_at: maybeTime,
      }),
    ),
  }),
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core } = context;
    const server = await findServer(context, args.name);
    const keys = await core.store.servers.keysOf(server.id);
    return {
      ...(await serverState(core, server)),
      id: server.id,
      host_key: server.hostKey ?? null,
      keys: keys.map(({ fingerprint }) => fingerprint),
      bandwidth: server.bandwidth ?? null,
      links: await linksOf(context, server),
    };
  },
  text: (server) =>
    [
      `${server.name}  ${server.role}, ${server.state}${server.error === null ? '' : `: ${server.error}`}`,
      `address: ${server.url ?? 'none, it comes to us'}`,
      `host key: ${server.host_key ?? 'none'}`,
      ...server.keys.map((key) => `signs in with: ${key}`),
      `last sync: ${server.last_sync_at ?? 'never'}, pending: ${server.pending}, conflicts: ${server.conflicts}`,
      ...server.links.map(
        (each) =>
          `link: ${each.repo}${each.born_there ? ', born there' : ''}, ${each.state}, ${each.last_sync_at ?? 'never synced'}`,
      ),
    ].join('\n'),
});

async function linksOf({ core }: Context, { id, name: server }: { id: string; name: string }) {
  const links = [];
  for (const link of await core.store.serverLinks.listOf(id)) {
    const repo = await core.store.repositories.byId(link.repoId);
    if (repo === undefined) continue;
    const states = await syncStates(core, repo);
    const found = states.find((each) => each.server === server);
    links.push({
      repo: repo.fullName,
      born_there: link.bornThere,
      state: found?.state ?? 'unknown',
      behind_s: found?.behind_s ?? null,
      last_sync_at: found?.last_sync_at ?? null,
    });
  }
  return links;
}

const test = command({
  words: 'servers test',
  summary: 'Walk to a server step by step, and say where it fails',
  examples: ['servers test b'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: object({
    reachable: boolean,
    steps: array(object({ step: string, ok: boolean, ms: integer, detail: string })),
  }),
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const server = await findServer(context, args.name);
    const steps = await probe(context.core, server, context);
    return { reachable: steps.every(({ ok }) => ok), steps };
  },
  text: ({ steps }) =>
    steps
      .map(({ step, ok, ms, detail }) => `${ok ? 'ok  ' : 'FAIL'}  ${step}: ${detail} (${ms} ms)`)
      .join('\n'),
});

const knownHosts = command({
  words: 'servers known-hosts',
  summary: "Lines for people's known_hosts: the keys of all servers under the name of this one",
  examples: ['servers known-hosts'],
  args: {},
  answer: object({ lines: array(string) }),
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core }) => {
    const { hostname, port } = new URL(core.cloneUrl(''));
    const service = port === '' || port === '22' ? hostname : `[${hostname}]:${port}`;
    const next = (await core.store.ownKeys.of('host')).map(({ path }) => path);
    const keys = await ownHostKeys([...core.config.hostKeyPaths, ...next]);
    for (const { id, hostKeyLine, role } of await core.store.servers.list()) {
      if (role !== 'main' && role !== 'backup') continue;
      if (hostKeyLine !== undefined) keys.push(hostKeyLine);
      for (const { line } of await core.store.serverKeys.announced(id)) keys.push(line);
    }
    return { lines: keys.map((line) => `${service} ${line}`) };
  },
  text: ({ lines }) => lines.join('\n'),
});

/** This server's own host keys, each as `TYPE BASE64`. */
async function ownHostKeys(paths: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(
    paths.map((path) => readFile(`${path}.pub`, 'utf8').catch(() => '')),
  );
  return texts.filter((text) => text !== '').map((text) => text.split(' ').slice(0, 2).join(' '));
}

export const serversStatusCommands = [listServers, show, status, test, knownHosts];
