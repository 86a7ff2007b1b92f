import {
  type CommitParts,
  type Ident,
  identLine,
  readCommit,
  writeCommit,
} from '../../model/commit.ts';
import { UserError } from '../../model/errors.ts';
import { mergeBase } from '../../programs/ancestry.ts';
import { CommitWriter, readCommitObjects } from '../../programs/commits.ts';
import type { Git } from '../../programs/git.ts';
import { type Conflict, mergeTrees } from '../../programs/merge-tree.ts';
import type { Scratch } from '../../programs/scratch.ts';
import { mergeMessage, type Named, squashMessage } from './message.ts';
import { rebase } from './rebase.ts';

export const mergeModes = ['merge', 'ff-only', 'squash', 'rebase'] as const;
export type MergeMode = (typeof mergeModes)[number];

/** Two commits that are to be joined, and how. */
export interface Join {
  /** The target's tip. */
  readonly ours: string;
  /** The source's tip. */
  readonly theirs: string;
  readonly source: Named;
  /** A branch's name without `refs/heads/`. */
  readonly target: string;
  readonly mode: MergeMode;
  /** Author and committer of a merge or squash, committer of what is rebased. */
  readonly who: Ident;
  readonly at: Date;
  /** Already clean; git's own words unless given. */
  readonly message?: string | undefined;
}

/** What joining came to: where the target is to be moved, or why it can't be. New objects lie in the scratch directory. */
export type Joined =
  | {
      readonly result: 'up-to-date' | 'fast-forward' | 'merged' | 'squashed' | 'rebased';
      readonly commit: string;
    }
  | {
      readonly result: 'conflict';
      readonly conflicts: readonly Conflict[];
      /** The commit that could not be applied, where several were. */
      readonly during?: string | undefined;
    };

/** What the parts of a join work with. */
export interface JoinParts {
  readonly git: Git;
  readonly scratch: Scratch;
  readonly writer: CommitWriter;
}

/**
 * Joins two commits of a repository without changing it.
 *
 * @throws UserError `conflict` where the mode forbids it, or the two have no commit in common; the signal's reason
 */
export async function joinCommits(git: Git, scratch: Scratch, join: Join): Promise<Joined> {
  const { ours, theirs, mode, source, target } = join;
  const base = await mergeBase(git, scratch, [ours, theirs]);
  if (base === theirs) return { result: 'up-to-date', commit: ours };
  if (base === ours && mode !== 'squash') return { result: 'fast-forward', commit: theirs };
  if (base === undefined) {
    throw new UserError(
      'conflict',
      `${source.name} and ${target} have no commit in common: unrelated histories are not merged`,
      { hint: 'join them once by hand: git merge --allow-unrelated-histories, then push' },
    );
  }
  if (mode === 'ff-only') {
    throw new UserError(
      'conflict',
      `${target} can't be fast-forwarded to ${source.name}: each has commits that the other lacks`,
      { hint: 'merge with another --mode, or rebase the branch and push it again' },
    );
  }
  const writer = new CommitWriter(git, scratch);
  try {
    const parts = { git, scratch, writer };
    if (mode === 'rebase') return await rebase(parts, join);
    return await (mode === 'squash' ? squash(parts, join, base) : merge(parts, join));
  } finally {
    await writer.close();
  }
}

async function merge({ git, scratch, writer }: JoinParts, join: Join): Promise<Joined> {
  const { tree, conflicts } = await mergeTrees(git, scratch, join);
  if (conflicts !== undefined) return { result: 'conflict', conflicts };
  const message = join.message ?? mergeMessage(join.source, join.target);
  const parents = [join.ours, join.theirs];
  return { result: 'merged', commit: await writer.write(own(join, { tree, parents, message })) };
}

async function squash(
  { git, scratch, writer }: JoinParts,
  join: Join,
  base: string,
): Promise<Joined> {
  const { ours, theirs } = join;
  const tips = (await readCommitObjects(git, scratch, [ours, theirs])).map(readCommit);
  const before = tips[0]?.tree;
  const merged =
    base === ours ? { tree: tips[1]?.tree ?? '' } : await mergeTrees(git, scratch, join);
  if (merged.conflicts !== undefined) return { result: 'conflict', conflicts: merged.conflicts };
  // As with git, a squash that changes nothing makes no commit.
  if (merged.tree === before) return { result: 'up-to-date', commit: ours };
  const message = join.message ?? (await squashMessage(git, scratch, join));
  const commit = own(join, { tree: merged.tree, parents: [ours], message });
  return { result: 'squashed', commit: await writer.write(commit) };
}

/** A commit whose author and committer is the one who asks. */
function own(
  { who, at }: Join,
  { message, ...rest }: Pick<CommitParts, 'tree' | 'parents'> & { readonly message: string },
): Buffer {
  const author = identLine(who, at);
  return writeCommit({ ...rest, author, committer: author, message: Buffer.from(message) });
}
