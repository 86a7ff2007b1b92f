import type { Transport } from '../core/peering/carry.ts';
import { everyRepo } from '../core/peering/every-repo.ts';
import { sendLog } from '../core/peering/log-follow.ts';
import { Remote } from '../core/peering/remote.ts';
import { reached } from '../core/peering/round.ts';
import type { RunOptions, RunReport } from '../core/peering/run.ts';
import { UserError } from '../model/errors.ts';
import { parsePeerUrl, peerUrl } from '../model/peer.ts';
import { readSizeBytes, sizeText } from '../model/units.ts';
import type { Repository } from '../store/repositories.ts';
import type { Server } from '../store/servers.ts';
import { array, integer, object, string } from './answers.ts';
import type { Context } from './command.ts';
import { findServer } from './servers.ts';
import { tellUndecided } from './undecided.ts';

type Direction = 'push' | 'pull';

/** What a run of sync came to, as the contract has it. */
export const runAnswer = array(
  object({
    repo: string,
    server: string,
    transport: string,
    result: string,
    refs_updated: integer,
    refs_conflicted: integer,
    bytes_sent: integer,
    bytes_received: integer,
    bytes_total: integer,
    duration_ms: integer,
  }),
);

export type RunRow = ReturnType<typeof rowOf>;

export function rowOf(report: RunReport) {
  return {
    repo: report.repo,
    server: report.server,
    transport: report.transport,
    result: report.result,
    refs_updated: report.refsUpdated,
    refs_conflicted: report.refsConflicted,
    bytes_sent: report.bytesSent,
    bytes_received: report.bytesReceived,
    bytes_total: report.bytesTotal,
    duration_ms: report.durationMs,
  };
}

export function runText(rows: readonly Omit<RunRow, 'transport'>[]): string {
  if (rows.length === 0) return 'Nothing to do.';
  return rows
    .map((row) => {
      const conflicts = row.refs_conflicted === 0 ? '' : `, ${row.refs_conflicted} in conflict`;
      const passed = sizeText(row.bytes_sent + row.bytes_received);
      return `${row.repo}  ${row.server}  ${row.result}: ${row.refs_updated} refs${conflicts}, ${passed} in ${row.duration_ms} ms`;
    })
    .join('\n');
}

interface CarryArgs {
  readonly bandwidth?: string | undefined;
  readonly transport?: string | undefined;
}

export function optionsOf(context: Context, args: CarryArgs, allowShrink: boolean): RunOptions {
  const { core, by, signal } = context;
  const wanted = args.transport ?? core.config.values['sync.transport'];
  return {
    by,
    signal,
    allowShrink,
    wanted: wanted as 'auto' | Transport,
    bandwidth: args.bandwidth === undefined ? undefined : readSizeBytes(args.bandwidth),
    progress: context.progress,
  };
}

/**
 * The servers that a run is with: the one that was named, else `main_server`, else, to push to, every backup.
 *
 * @throws UserError `not_found`, `usage`
 */
export async function serversOf(
  context: Context,
  wanted: string | undefined,
  direction: Direction,
): Promise<readonly Server[]> {
  const { core } = context;
  if (wanted !== undefined) return [await findServer(context, wanted)];
  const main = core.config.values.main_server;
  const all = await core.store.servers.list();
  if (main !== '') {
    const url = main.includes('@') ? peerUrl(parsePeerUrl(main)) : undefined;
    const found = all.find((each) => (url === undefined ? each.name === main : each.url === url));
    if (found !== undefined) return [found];
    throw new UserError('not_found', `main_server is ${main}, which is no server known here`, {
      hint: 'make it known with: servers add',
    });
  }
  const backups = direction === 'push' ? all.filter(({ role }) => role === 'backup') : [];
  if (backups.length > 0) return backups;
  throw new UserError('usage', `${direction}: with which server?`, {
    hint: direction === 'push' ? 'add --to NAME' : 'add --from NAME',
  });
}

/** Runs each repository with a server over one connection; one that fails keeps nobody from the others. */
export async function runWith<T extends { readonly fullName: string }>(
  context: Context,
  server: Server,
  {
    repos,
    work,
    options,
  }: {
    repos: readonly T[];
    work(remote: Remote, repo: T): Promise<RunReport>;
    options: RunOptions;
  },
): Promise<{ rows: RunRow[]; errors: UserError[] }> {
  const { core, by, signal } = context;
  const rows: RunRow[] = [];
  const errors: UserError[] = [];
  let remote: Remote | undefined;
  try {
    for (const repo of repos) {
      const begun = performance.now();
      try {
        remote ??= await Remote.open(core, server, { by, signal });
        const report = await work(remote, repo);
        for (const note of report.notes) context.note(`${report.repo}: ${note}`);
        rows.push(rowOf(report));
        await reached(core, server, by);
      } catch (error) {
        if (!(error instanceof UserError) || signal.aborted) throw error;
        errors.push(error);
        const names = { repo: repo.fullName, server: server.name, transport: 'none' } as const;
        const none = { refs_updated: 0, refs_conflicted: 0, bytes_sent: 0, bytes_received: 0 };
        const duration = Math.round(performance.now() - begun);
        const rest = { ...none, bytes_total: 0, duration_ms: duration };
        rows.push({ ...names, result: 'failed', ...rest });
        await remote?.close();
        remote = undefined;
      }
    }
    // A backup is to know at once of all that changed, who may read it before all.
    if (server.role === 'backup' && !by.dryRun && remote !== undefined) {
      await sendLog(core, remote, options).catch((error) => {
        if (!(error instanceof UserError) || signal.aborted) throw error;
        context.note(error.message);
      });
    }
  } finally {
    await remote?.close();
  }
  return { rows, errors };
}

/** Why runs that were answered are a no after all. */
const failures = new WeakMap<readonly RunRow[], UserError>();

/** One that failed alone is the command's own failure; of several each is told, as is what a person is to decide. */
export async function answered(
  context: Context,
  rows: readonly RunRow[],
  errors: readonly UserError[],
): Promise<readonly RunRow[]> {
  await tellUndecided(context, rows);
  const [first] = errors;
  if (first === undefined) return rows;
  if (rows.length === 1 && errors.length === 1) {
    failures.set(rows, first);
    return rows;
  }
  for (const { message } of errors) context.note(message);
  const said = errors.length === 1 ? first.message : `${errors.length} things failed`;
  // Trying again may help where they differ; where all say the same no, it is that no.
  const isOne = errors.length > 1 && errors.every(({ code }) => code === first.code);
  failures.set(
    rows,
    new UserError(isOne ? first.code : 'unavailable', said, {
      ...(first.hint === undefined ? {} : { hint: first.hint }),
    }),
  );
  return rows;
}

export function runRefusal(rows: readonly RunRow[]): UserError | undefined {
  return failures.get(rows);
}

/** The arguments that push and pull share. */
export const carried = {
  repos: {
    type: 'array',
    items: { type: 'string', format: 'repo' },
    description: 'NAMESPACE/NAME, one or several',
  },
  all: { type: 'boolean', description: 'all that this server shares with that one' },
  bandwidth: { type: 'string', format: 'rate', description: 'bytes a second at the most, as 20M' },
  transport: {
    type: 'string',
    enum: ['auto', 'rsync', 'tar'],
    description: 'what carries the objects: rsync where both sides have it, else tar',
  },
} as const;

/** What push and pull need before each repository is decided on. @throws UserError `usage` */
export function needsOf(
  { repos, all }: { repos?: readonly string[] | undefined; all?: boolean | undefined },
  direction: Direction,
) {
  const [first] = repos ?? [];
  if ((first === undefined) === (all !== true)) {
    throw new UserError('usage', `${direction} takes either REPO… or --all`);
  }
  return { need: first === undefined ? 'site-admin' : 'account' } as const;
}

/** All that is shared with a server. */
export async function allFor(
  context: Pick<Context, 'core'>,
  server: Server,
): Promise<readonly Repository[]> {
  const found: Repository[] = [];
  for await (const repo of everyRepo(context.core, server)) found.push(repo);
  return found;
}
