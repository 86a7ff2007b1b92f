import { recordExternals } from '../core/externals.ts';
import { changeRefs } from '../core/ref-change.ts';
import { planUndo, type Undo } from '../core/undo.ts';
import { undoAction } from '../core/undo-access.ts';
import { UserError } from '../model/errors.ts';
import { shortOid } from '../model/oid.ts';
import { nullOid, shortRef } from '../model/ref.ts';
import { parseRepoPath } from '../model/repo.ts';
import { refWord } from '../model/shell-line.ts';
import { type Commit, commitsIn, isWhole } from '../programs/commit-list.ts';
import type { Repository } from '../store/repositories.ts';
import { array, boolean, integer, maybe, object, present, string, time } from './answers.ts';
import { type Context, command } from './command.ts';

/** The commits that an answer names; the count has them all. */
const shownCommits = 100;

interface Answer {
  readonly changed: boolean;
  readonly repo: string;
  readonly ref: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly set_aside: readonly Commit[];
  readonly set_aside_count: number;
}

export const undo = command({
  words: 'repo undo',
  summary: 'Bring back what a ref was before its last change, or another value that it had',
  examples: [
    'repo undo acme/app topic --dry-run',
    'repo undo acme/app topic --yes',
    'repo undo acme/app main --to @1 --yes',
  ],
  args: {
    repo: { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' },
    ref: { type: 'string', format: 'ref', description: 'a branch or tag, or its full name' },
    to: {
      type: 'string',
      format: 'value',
      description:
        'OID, @N for the N-th earlier value, or a time; without it the last change is taken back',
    },
  },
  positions: ['repo', 'ref'],
  required: ['repo', 'ref'],
  answer: object({
    changed: boolean,
    repo: string,
    ref: string,
    from: maybe,
    to: maybe,
    set_aside: array(object({ oid: string, author: string, at: time, subject: string })),
    set_aside_count: integer,
  }),
  changes: true,
  asks: true,
  needs: (args) => ({ need: 'undo', path: parseRepoPath(args.repo), ref: args.ref, to: args.to }),
  target: (args) => args.repo,
  run: async (context, args): Promise<Answer> => {
    const repo = present(context.granted.repo);
    const release = await context.core.repos.hold(repo, context.signal);
    try {
      return await takeBack(context, repo, args);
    } finally {
      release();
    }
  },
  text: (answer) => lines(answer).join('\n'),
});

/** @throws UserError `conflict` when the ref moved meanwhile, `denied` when a rule forbids it */
async function takeBack(
  context: Context,
  repo: Repository,
  { ref: word, to }: { ref: string; to?: string | undefined },
): Promise<Answer> {
  const { core, by, principal, signal } = context;
  await recordExternals(core, repo, { by, signal });
  const plan = await planUndo(core.store, repo, { ref: word, to });
  const { ref, from } = plan;
  const answer = { repo: repo.fullName, ref, from: oidOrNull(from), to: oidOrNull(plan.to) };
  if (from === plan.to) return { changed: false, ...answer, set_aside: [], set_aside_count: 0 };
  const directory = core.repos.directory(repo);
  if (plan.to !== nullOid && !(await isWhole(core.git, directory, plan.to))) throw gone(repo, plan);
  const { commits, count } = await commitsIn(core.git, directory, {
    from,
    without: plan.to === nullOid ? { allButRef: ref } : { oids: [plan.to] },
    most: shownCommits,
  });
  const [result] = await changeRefs(core, {
    repo,
    commands: [{ ref, old: from, new: plan.to }],
    by,
    action: undoAction,
    principal,
    signal,
    needs: (path) => ({ need: 'undo', path, ref, to }),
    isRepair: true,
    held: true,
  });
  if (result?.refused !== undefined) {
    throw new UserError('denied', `${repo.fullName} ${shortRef(ref)}: ${result.refused}`);
  }
  context.record({ refs: [{ ref, old: from, new: plan.to }] });
  return { changed: true, ...answer, set_aside: commits, set_aside_count: count };
}

function oidOrNull(oid: string): string | null {
  return oid === nullOid ? null : oid;
}

function gone(repo: Repository, { ref, to }: Undo): UserError {
  const name = `${repo.fullName} ${shortRef(ref)}`;
  return new UserError('not_found', `${name}: ${shortOid(to)} is not kept any more`, {
    hint: `it was purged, or its time in the archive is over: see repo history ${name}`,
  });
}

function lines({ changed, repo, ref, from, to, set_aside, set_aside_count }: Answer): string[] {
  const value = (oid: string | null) => (oid === null ? 'not there' : shortOid(oid));
  const name = refWord(ref) ?? ref;
  if (!changed) return [`${name} is ${value(to)} already.`];
  const more = set_aside_count - set_aside.length;
  const commits = set_aside_count === 1 ? '1 commit' : `${set_aside_count} commits`;
  return [
    `${name} was ${value(from)}, is ${value(to)}; set aside: ${commits}`,
    ...set_aside.map(({ oid, author, subject }) => `  ${shortOid(oid)} ${subject} (${author})`),
    ...(more > 0 ? [`  and ${more} more`] : []),
    `take that back with: repo undo ${repo} ${name} --yes`,
  ];
}
