import { type CommitParts, identLine, readCommit, writeCommit } from '../../model/commit.ts';
import { UserError } from '../../model/errors.ts';
import { type Candidate, commitsToRebase } from '../../programs/ancestry.ts';
import { readCommitObjects } from '../../programs/commits.ts';
import { mergeTrees } from '../../programs/merge-tree.ts';
import type { Join, Joined, JoinParts } from './join.ts';

/** A rebase takes a git process for each commit: so many are done while somebody waits. */
export const mostRebased = 1000;

/** The tree without entries, which git knows without having it. */
const emptyTree = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

/** A commit to apply, with the tree that it changed. */
interface Pick {
  readonly oid: string;
  readonly commit: CommitParts;
  readonly before: string;
  /** Whether the other side has the same change. */
  readonly isThere: boolean;
}

function isEmpty({ commit, before }: Pick): boolean {
  return commit.tree === before;
}

/** A commit as it was made anew. */
interface Tip {
  readonly oid: string;
  readonly tree: string;
}

/**
 * Applies the commits of one side alone on top of the other, as `git rebase` does: merges are flattened, a change that
 * is there already is left out, also where that shows only once it is applied. Authors and messages are kept.
 *
 * @throws UserError `unavailable` for too many commits; the signal's reason
 */
export async function rebase(parts: JoinParts, join: Join): Promise<Joined> {
  const { git, scratch } = parts;
  const { ours, theirs, source } = join;
  const limit = mostRebased;
  const candidates = await commitsToRebase(git, scratch, { target: ours, source: theirs });
  if (candidates.length > limit) {
    throw new UserError(
      'unavailable',
      `${source.name} has more than ${limit} commits to rebase: that is too much for the server`,
      { hint: 'rebase it on your machine and push it, or use --mode merge or squash' },
    );
  }
  const start = (await readCommitObjects(git, scratch, [ours])).map(readCommit);
  let tip: Tip = { oid: ours, tree: start[0]?.tree ?? '' };
  for (const pick of await picksOf(parts, candidates)) {
    // All empty commits make the same change: they say nothing of each other.
    if (pick.isThere && !isEmpty(pick)) continue;
    const applied = await apply(parts, join, { tip, pick });
    if ('result' in applied) return applied;
    tip = applied;
  }
  return { result: tip.oid === ours ? 'up-to-date' : 'rebased', commit: tip.oid };
}

async function picksOf(
  { git, scratch }: JoinParts,
  candidates: readonly Candidate[],
): Promise<Pick[]> {
  const oids = candidates.map(({ oid }) => oid);
  const commits = (await readCommitObjects(git, scratch, oids)).map(readCommit);
  const parents = commits.map((commit) => commit.parents[0]);
  const known = parents.filter((oid) => oid !== undefined);
  const trees = (await readCommitObjects(git, scratch, known)).map(
    (object) => readCommit(object).tree,
  );
  const treeOf = new Map(known.map((oid, at) => [oid, trees[at]]));
  return commits.map((commit, at) => {
    const before = treeOf.get(parents[at] ?? '') ?? emptyTree;
    return { oid: oids[at] ?? '', commit, before, isThere: candidates[at]?.isThere === true };
  });
}

async function apply(
  { git, scratch, writer }: JoinParts,
  { who, at }: Join,
  { tip, pick }: { readonly tip: Tip; readonly pick: Pick },
): Promise<Tip | Joined> {
  const { commit, before } = pick;
  const committer = identLine(who, at);
  let tree: string | undefined = commit.tree;
  if (before !== tip.tree) {
    // merge-tree finds the ancestor itself: it is given two commits of which the tree before the change is the parent.
    const stand = (of: string, parents: readonly string[]) =>
      writer.write(
        writeCommit({ tree: of, parents, author: committer, committer, message: Buffer.alloc(0) }),
      );
    const base = await stand(before, []);
    // One of the two may be the ancestor itself, where its side changed nothing.
    const ours = await stand(tip.tree, [base]);
    const theirs = await stand(commit.tree, [base]);
    const merged = await mergeTrees(git, scratch, { ours, theirs });
    if (merged.conflicts !== undefined) {
      return { result: 'conflict', conflicts: merged.conflicts, during: pick.oid };
    }
    tree = merged.tree;
  }
  if (tree === tip.tree && !isEmpty(pick)) return tip;
  const made = writeCommit({ ...commit, tree, parents: [tip.oid], committer });
  return { oid: await writer.write(made), tree };
}
