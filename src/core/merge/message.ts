import { logOf } from '../../programs/ancestry.ts';
import type { Git } from '../../programs/git.ts';
import type { Scratch } from '../../programs/scratch.ts';

/** A ref that is merged, as people name it. */
export interface Named {
  readonly kind: 'branch' | 'tag';
  /** Without `refs/heads/` or `refs/tags/`. */
  readonly name: string;
}

/** What git calls a merge: it leaves out the target where that is `master`. */
export function mergeMessage({ kind, name }: Named, target: string): string {
  const into = target === 'master' ? '' : ` into ${target}`;
  return `Merge ${kind} '${name}'${into}\n`;
}

/** What git proposes for a squash: the log of all that goes into it. */
export async function squashMessage(
  git: Git,
  scratch: Scratch,
  { ours, theirs }: { readonly ours: string; readonly theirs: string },
): Promise<string> {
  const log = await logOf(git, scratch, { target: ours, source: theirs });
  return `Squashed commit of the following:\n\n${log}`;
}
