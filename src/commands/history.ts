import { recordExternals } from '../core/externals.ts';
import { findRef, updatesOf } from '../core/undo.ts';
import { nullOid } from '../model/ref.ts';
import { parseRepoPath } from '../model/repo.ts';
import type { RefUpdate } from '../store/ref-history.ts';
import { boolean, maybe, maybeTime, object, present, string, time } from './answers.ts';
import { type Context, list } from './command.ts';

interface Row {
  readonly ref: string;
  readonly oid: string | null;
  readonly until: string | null;
  readonly at: string;
  readonly by: string;
  readonly action: string;
  readonly purged?: true;
}

export const history = list({
  words: 'repo history',
  summary: 'Every value that refs have had, newest first: by whom, when, through what',
  examples: ['repo history acme/app', 'repo history acme/app main --json'],
  args: {
    repo: { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' },
    ref: { type: 'string', format: 'ref', description: 'a branch or tag, or its full name' },
  },
  positions: ['repo', 'ref'],
  required: ['repo'],
  row: object(
    { ref: string, oid: maybe, until: maybeTime, at: time, by: string, action: string },
    { purged: boolean },
  ),
  columns: ['REF', 'OID', 'AT', 'UNTIL', 'BY', 'ACTION'],
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'read' }),
  target: (args) => args.repo,
  run: async (context, args) => {
    await lookAtDisk(context);
    const { core, granted } = context;
    const repo = present(granted.repo);
    const ref =
      args.ref === undefined ? undefined : (await findRef(core.store, repo, args.ref)).ref;
    return rows(core, repo.id, ref);
  },
  cells: ({ ref, oid, at, until, by, action, purged }) => [
    ref,
    `${oid ?? 'deleted'}${purged === true ? ' (purged)' : ''}`,
    at,
    until ?? '',
    by,
    action,
  ],
});

/** What was changed past cpm is to be in the list too. */
async function lookAtDisk({ core, granted, by, signal }: Context): Promise<void> {
  const repo = present(granted.repo);
  const release = await core.repos.hold(repo, signal);
  try {
    await recordExternals(core, repo, { by, signal });
  } finally {
    release();
  }
}

async function* rows(
  { store }: Context['core'],
  repoId: string,
  ref: string | undefined,
): AsyncGenerator<Row> {
  for await (const update of updatesOf(store, repoId, ref)) yield toRow(update);
}

function toRow({ ref, new: oid, until, at, principal, action, purged }: RefUpdate): Row {
  return {
    ref,
    oid: oid === nullOid ? null : oid,
    until: until ?? null,
    at,
    by: principal,
    action,
    ...(purged ? { purged: true } : {}),
  };
}
