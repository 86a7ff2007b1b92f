import { recordExternals } from '../core/externals.ts';
import { purge } from '../core/purge.ts';
import { findRef, updatesOf } from '../core/undo.ts';
import { UserError } from '../model/errors.ts';
import { nullOid } from '../model/ref.ts';
import { parseRepoPath } from '../model/repo.ts';
import type { RefUpdate } from '../store/ref-history.ts';
import {
  array,
  boolean,
  integer,
  maybe,
  maybeTime,
  object,
  present,
  string,
  time,
} from './answers.ts';
import { type Context, command, list } from './command.ts';

interface Row {
  readonly ref: string;
  readonly oid: string | null;
  readonly until: string | null;
  readonly at: string;
  readonly by: string;
  readonly action: string;
  readonly purged?: true;
}

const repoName = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;
const refName = {
  type: 'string',
  format: 'ref',
  description: 'a branch or tag, or its full name',
} as const;
const purgeText = 'remove this object for good, with all values that lead to it; for owners';

/** `repo history REPO --purge OID`: the leaked secret, which no ref has any more, leaves archive and disk. */
const purgeObject = command({
  words: 'repo history --purge',
  summary: 'Remove an object for good, with all archived values that lead to it',
  examples: [],
  args: {
    ...{ repo: repoName, ref: refName },
    purge: { type: 'string', format: 'oid', description: purgeText },
  },
  positions: ['repo', 'ref'],
  required: ['repo', 'purge'],
  answer: object({ changed: boolean, oid: string, values: array(string), commits: integer }),
  changes: true,
  asks: true,
  check: ({ ref }) => {
    if (ref === undefined) return;
    throw new UserError('usage', 'an object is purged from the whole repository: leave REF out');
  },
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'owner' }),
  target: (args) => args.repo,
  run: async ({ core, granted, by, principal, record }, args) => {
    const repo = present(granted.repo);
    const release = await core.repos.holdAlone(repo);
    try {
      // What was true before the wait may not be true any more (S11).
      const path = { namespace: repo.namespace, name: repo.name };
      const now = await core.access.authorize(principal, { need: 'repo', path, right: 'owner' });
      // Whoever has a copy of it made holds the repository, and so comes before or after.
      if (!by.dryRun) await core.kept.drop(repo.id);
      const purged = await purge(core, present(now.repo), { start: args.purge, by });
      const { oid, values, commits, changed } = purged;
      record({ purged: oid, values: values.slice(0, 100), commits });
      if (changed && !by.dryRun) core.sizes.changed(repo, core.repos.directory(repo));
      return { changed, oid, values, commits };
    } finally {
      release();
    }
  },
  text: ({ changed, oid, values, commits }) =>
    changed
      ? `Purged ${oid}: ${commits} commits, ${values.length} archived values.`
      : `${oid} was purged already.`,
});

export const history = list({
  words: 'repo history',
  summary: 'Every value that refs have had, newest first: by whom, when, through what',
  examples: ['repo history acme/app', 'repo history acme/app main --json'],
  args: {
    ...{ repo: repoName, ref: refName },
    purge: { type: 'string', format: 'oid', description: purgeText },
  },
  positions: ['repo', 'ref'],
  required: ['repo'],
  row: object(
    { ref: string, oid: maybe, until: maybeTime, at: time, by: string, action: string },
    { purged: boolean },
  ),
  columns: ['REF', 'OID', 'AT', 'UNTIL', 'BY', 'ACTION'],
  instead: ({ purge }) => (purge === undefined ? undefined : purgeObject),
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
