import { deliverMarks } from '../core/peering/courier.ts';
import { realize } from '../core/peering/log-realize.ts';
import { importActor } from '../core/peering/log-take.ts';
import { scanOutbox } from '../core/peering/outbox.ts';
import { endRecall, meet } from '../core/peering/round.ts';
import { UserError } from '../model/errors.ts';
import type { Server } from '../store/servers.ts';
import { logMark } from '../store/sync-marks.ts';
import {
  answered,
  optionsOf,
  type RunRow,
  rowOf,
  runAnswer,
  runRefusal,
  runText,
} from './carry.ts';
import { type Context, command } from './command.ts';
import { findServer, name } from './servers.ts';

const sync = command({
  words: 'servers sync',
  summary: 'Carry now what this server and another lack of each other',
  examples: ['servers sync b', 'servers sync', 'servers sync b --allow-shrink'],
  args: {
    name,
    'allow-shrink': {
      type: 'boolean',
      description: 'although much would be deleted or forced, or set back',
    },
  },
  positions: ['name'],
  answer: runAnswer,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { by } = context;
    const allowShrink = args['allow-shrink'] === true;
    const named = args.name === undefined ? undefined : await findServer(context, args.name);
    const servers = named === undefined ? await addressed(context) : [named];
    context.staySilent();
    if (by.dryRun) return wouldRun(context, servers);
    const rows: RunRow[] = [];
    const errors: UserError[] = [];
    for (const server of servers) await syncWith(context, server, { allowShrink, rows, errors });
    const [first] = errors;
    if (rows.length === 0 && first !== undefined) throw first;
    return answered(context, rows, errors);
  },
  text: runText,
  refusal: runRefusal,
});

/** Those that have an address here; one that is no longer trusted says so itself, for silence would look like success. */
async function addressed({ core }: Context): Promise<readonly Server[]> {
  const servers = await core.store.servers.list();
  return servers.filter(({ url }) => url !== undefined);
}

/** What is marked already; what the other side has new is not asked for. */
async function wouldRun({ core }: Context, servers: readonly Server[]): Promise<RunRow[]> {
  await scanOutbox(core);
  const rows: RunRow[] = [];
  for (const server of servers) {
    for (const { name: repo, repoId } of await core.store.syncMarks.of(server.id)) {
      if (repoId === logMark) continue;
      rows.push({ ...nothing(repo, server), result: 'updated' });
    }
  }
  return rows;
}

function nothing(repo: string, { name: server }: Server): RunRow {
  const none = { refs_updated: 0, refs_conflicted: 0, bytes_sent: 0, bytes_received: 0 };
  return {
    repo,
    server,
    transport: 'none',
    result: 'up-to-date',
    ...none,
    bytes_total: 0,
    duration_ms: 0,
  };
}

async function syncWith(
  context: Context,
  server: Server,
  { allowShrink, rows, errors }: { allowShrink: boolean; rows: RunRow[]; errors: UserError[] },
): Promise<void> {
  const { core, by, signal } = context;
  const { syncMarks, syncPeers } = core.store;
  const finish = core.couriers.begin(server.id);
  try {
    await syncMarks.tryNow(server.id);
    await syncPeers.tryNow(server.id);
    // The clock meets it by itself, every interval: what is to be sent does not wait for it.
    const isMet = context.byClock && !core.couriers.isDue(server.id);
    if (!isMet) await meet(core, server, { by, signal });
    const now = (await core.store.servers.byId(server.id)) ?? server;
    await deliverMarks(core, now, {
      ...optionsOf(context, {}, allowShrink),
      heard: ({ repo, ms, report, error }) => {
        if (report !== undefined) {
          rows.push(rowOf(report));
          for (const note of report.notes) context.note(`${report.repo}: ${note}`);
          return;
        }
        if (error !== undefined) errors.push(error);
        if (repo === undefined) return;
        const result = error === undefined ? 'updated' : 'failed';
        rows.push({ ...nothing(repo, server), result, duration_ms: ms });
      },
    });
    await endRecall(core, now, by);
    // What its log said before waits for this word too.
    if (allowShrink && now.role === 'main') {
      await realize(core, now, { by: importActor(now, by), allowShrink });
    }
  } catch (error) {
    if (!(error instanceof UserError) || signal.aborted) throw error;
    errors.push(error);
  } finally {
    finish?.();
  }
}

export const serversSyncCommands = [sync];
