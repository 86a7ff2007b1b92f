import { resolveConflict } from '../core/peering/resolve.ts';
import { UserError } from '../model/errors.ts';
import { shortOid } from '../model/oid.ts';
import { nullOid, shortRef } from '../model/ref.ts';
import { parseRepoPath } from '../model/repo.ts';
import { reaches } from '../model/right.ts';
import type { Conflict, Kept } from '../store/conflicts.ts';
import type { Repository } from '../store/repositories.ts';
import { array, boolean, maybe, object, present, string, time } from './answers.ts';
import { type Context, command, list } from './command.ts';

const repo = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;
const ref = { type: 'string', format: 'ref', description: 'a branch, or a full ref' } as const;
const server = {
  type: 'string',
  format: 'server',
  description: 'the other server, where there are conflicts with several',
} as const;
const fields = {
  id: string,
  repo: string,
  ref: string,
  server: string,
  kind: string,
  local: maybe,
  remote: maybe,
  base: maybe,
  opened_at: time,
};

function rowOf(conflict: Conflict, { fullName }: Repository) {
  const value = (oid: string) => (oid === nullOid ? null : oid);
  return {
    id: conflict.id,
    repo: fullName,
    ref: conflict.ref,
    server: conflict.server,
    kind: conflict.kind,
    local: value(conflict.local),
    remote: value(conflict.remote),
    base: value(conflict.base),
    opened_at: conflict.openedAt,
  };
}

const shown = (oid: string | null) => (oid === null ? 'deleted' : shortOid(oid));

const listConflicts = list({
  words: 'conflicts list',
  summary: 'Refs that moved on two servers since they last agreed; both values are kept',
  examples: ['conflicts list', 'conflicts list acme/app'],
  args: { repo },
  positions: ['repo'],
  row: object(fields),
  columns: ['REPO', 'REF', 'SERVER', 'KIND', 'LOCAL', 'REMOTE', 'OPENED'],
  needs: (args) =>
    args.repo === undefined
      ? { need: 'account' }
      : { need: 'repo', path: parseRepoPath(args.repo), right: 'read' },
  target: (args) => args.repo,
  run: async (context) => rows(context),
  cells: (row) => [
    row.repo,
    shortRef(row.ref),
    row.server,
    row.kind,
    shown(row.local),
    shown(row.remote),
    row.opened_at,
  ],
});

async function* rows({ core, principal, granted }: Context) {
  const { store, access } = core;
  for (const conflict of await store.conflicts.open(granted.repo?.id)) {
    const found = granted.repo ?? (await store.repositories.byId(conflict.repoId));
    if (found === undefined) continue;
    const { right } = await access.rightOn(principal, granted.standing, found);
    if (reaches(right, 'read')) yield rowOf(conflict, found);
  }
}

/** @throws UserError `not_found`; `usage` where several are meant */
async function findConflict(
  { core, granted }: Context,
  wanted: { ref: string; server: string | undefined },
): Promise<Conflict> {
  const { id, fullName } = present(granted.repo);
  const full = wanted.ref.startsWith('refs/') ? wanted.ref : `refs/heads/${wanted.ref}`;
  const found = (await core.store.conflicts.open(id)).filter(
    (each) =>
      (each.ref === full || each.ref === `refs/tags/${wanted.ref}`) &&
      (wanted.server === undefined || each.server === wanted.server),
  );
  const [first, ...others] = found;
  if (first === undefined) {
    throw new UserError('not_found', `${fullName} ${wanted.ref}: no such conflict`, {
      hint: `see them with: conflicts list ${fullName}`,
    });
  }
  if (others.length === 0) return first;
  const servers = found.map((each) => each.server).join(', ');
  throw new UserError('usage', `${fullName} ${wanted.ref}: there are conflicts with ${servers}`, {
    hint: 'add --server NAME',
  });
}

const show = command({
  words: 'conflicts show',
  summary: 'One conflict: both values, and the commits that only one side has',
  examples: ['conflicts show acme/app main'],
  args: { repo, ref, server },
  positions: ['repo', 'ref'],
  required: ['repo', 'ref'],
  answer: object({ ...fields, local_commits: array(string), remote_commits: array(string) }),
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'read' }),
  target: (args) => args.repo,
  run: async (context, args) => {
    const found = present(context.granted.repo);
    const conflict = await findConflict(context, { ref: args.ref, server: args.server });
    const { local, remote } = conflict;
    return {
      ...rowOf(conflict, found),
      local_commits: await commitsOnly(context, found, { of: local, not: remote }),
      remote_commits: await commitsOnly(context, found, { of: remote, not: local }),
    };
  },
  text: (row) =>
    [
      `${row.repo} ${shortRef(row.ref)}: ${row.kind}, with ${row.server}, since ${row.opened_at}`,
      `here: ${shown(row.local)}`,
      ...row.local_commits.map((line) => `  ${line}`),
      `${row.server}: ${shown(row.remote)}`,
      ...row.remote_commits.map((line) => `  ${line}`),
      `decide with: conflicts resolve ${row.repo} ${shortRef(row.ref)} --keep local|remote|both`,
    ].join('\n'),
});

const shownCommits = 20;

/** What one side has and the other has not, newest first; nothing for a tag of something else than a commit. */
async function commitsOnly(
  { core, signal }: Context,
  found: Repository,
  { of, not }: { of: string; not: string },
): Promise<readonly string[]> {
  if (of === nullOid) return [];
  const range = not === nullOid ? [of] : [of, `^${not}`];
  const format = `--format=%h %an %aI %s`;
  const { status, stdout } = await core.git.run(
    ['log', `-n${shownCommits}`, format, ...range, '--'],
    { cwd: core.repos.directory(found), signal },
  );
  return status === 0 ? String(stdout).split('\n').filter(Boolean) : [];
}

const resolve = command({
  words: 'conflicts resolve',
  summary: 'Decide which value of a ref stays; the other server learns of it at the next sync',
  examples: ['conflicts resolve acme/app main --keep local'],
  args: {
    repo,
    ref,
    keep: {
      type: 'string',
      enum: ['local', 'remote', 'both'],
      description: 'both: the other value becomes the branch conflict/SERVER/REF, to merge',
    },
    server,
  },
  positions: ['repo', 'ref'],
  required: ['repo', 'ref', 'keep'],
  answer: object({ changed: boolean, kept: string, branch: maybe }),
  changes: true,
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'write' }),
  target: (args) => args.repo,
  run: async (context, args) => {
    const { core, principal, by, signal, granted } = context;
    const conflict = await findConflict(context, { ref: args.ref, server: args.server });
    const keep = args.keep as Kept;
    const about = { repo: present(granted.repo), conflict, keep };
    const branch = await resolveConflict(core, { ...about, principal, by, signal });
    return { changed: true, kept: keep, branch: branch === undefined ? null : shortRef(branch) };
  },
  text: ({ kept, branch }) =>
    branch === null
      ? `Resolved: ${kept} stays.`
      : `Both are kept: merge ${branch}, then delete it.`,
});

export const conflictsCommands = [listConflicts, show, resolve];
