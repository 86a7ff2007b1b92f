import { UserError } from '../model/errors.ts';
import { isOid } from '../model/oid.ts';
import type { Git } from './git.ts';
import { TooMuchOutput } from './run.ts';
import type { Scratch } from './scratch.ts';

/** A path on which two sides can't be brought together. */
export interface Conflict {
  readonly path: string;
  /** In git's words: `content`, `add/add`, `modify/delete`, `rename/delete`, `rename/rename`, `rename/add`,
   * `binary`, `submodule`, `file/directory`, `distinct types`, `directory rename`. */
  readonly kind: string;
}

/** What came of a merge of two trees. */
export type MergedTree =
  | { readonly tree: string; readonly conflicts?: undefined }
  | { readonly tree?: undefined; readonly conflicts: readonly Conflict[] };

/** Room for the conflicts of some ten thousand paths. */
const listBytes = 8 * 1024 * 1024;

/**
 * Merges two commits as `git merge` does, without a work tree.
 *
 * @returns the tree, which lies in the scratch object directory; or the conflicts, by path
 * @throws UserError `conflict` when there are too many to tell; Error when git fails, as for commits that have no
 *   ancestor in common; the signal's reason
 */
export async function mergeTrees(
  git: Git,
  { directory, path, signal }: Scratch,
  { ours, theirs }: { readonly ours: string; readonly theirs: string },
): Promise<MergedTree> {
  const args = ['merge-tree', '--write-tree', '-z', '--messages', ours, theirs];
  const config = { 'core.fsync': 'none' };
  const { status, stdout, stderr } = await git
    .run(args, { cwd: directory, scratch: path, config, maxBytes: listBytes, signal })
    .catch((error) => {
      if (!(error instanceof TooMuchOutput)) throw error;
      throw new UserError('conflict', 'the two conflict in more paths than can be told', {
        hint: 'merge them on your machine',
        cause: error,
      });
    });
  const tree = stdout.toString('latin1', 0, 40);
  // A commit that is missing ends with status 1 too, but without a tree.
  if (status === 0 && isOid(tree)) return { tree };
  if (status === 1 && isOid(tree)) {
    return { conflicts: readConflicts(stdout.toString(), { ours, theirs }) };
  }
  throw new Error(`git merge-tree ended with ${status}: ${stderr}`);
}

/** The first of these that a path suffers from is its conflict's kind. */
const kinds = [
  'submodule',
  'binary',
  'rename/rename',
  'rename/delete',
  'rename/add',
  'file/directory',
  'distinct types',
  'modify/delete',
  'directory rename',
  'add/add',
  'content',
] as const;
type Kind = (typeof kinds)[number];

const gitlink = '160000';

/**
 * Reads `git merge-tree -z --messages` where it told of conflicts: the tree, an entry `mode oid stage\tpath` for each
 * side of a path that is not merged, an empty field; then messages, each a number of paths, the paths, a type, a text.
 */
export function readConflicts(
  output: string,
  names: { readonly ours: string; readonly theirs: string },
): readonly Conflict[] {
  const fields = output.split('\0');
  const end = fields.indexOf('', 1);
  const stages = readStages(fields.slice(1, end));
  const found = new Map<string, Set<Kind>>();
  const note = (path: string, kind: Kind): void => {
    const name = withoutSide(path, names);
    found.set(name, (found.get(name) ?? new Set()).add(kind));
  };
  let at = end + 1;
  for (let count = Number(fields[at]); count > 0; count = Number(fields[at])) {
    const paths = fields.slice(at + 1, at + 1 + count);
    const type = fields[at + 1 + count] ?? '';
    at += count + 3;
    // Of a message about several paths only the unmerged ones are in conflict, where there are any.
    const unmerged = paths.filter((path) => stages.has(path));
    for (const path of unmerged.length > 0 ? unmerged : paths) {
      const kind = kindOf(type, stages.get(path));
      if (kind !== undefined) note(path, kind);
    }
  }
  for (const [path, sides] of stages) {
    if (!found.has(withoutSide(path, names))) note(path, kindOfSides(sides));
  }
  const conflicts = [...found].map(([path, suffered]) => ({
    path,
    kind: kinds.find((kind) => suffered.has(kind)) ?? 'content',
  }));
  return conflicts.sort((one, other) => (one.path < other.path ? -1 : 1));
}

/** Mode by stage: 1 the ancestor's, 2 ours, 3 theirs. */
type Sides = ReadonlyMap<string, string>;

function readStages(entries: readonly string[]): Map<string, Sides> {
  const stages = new Map<string, Map<string, string>>();
  for (const entry of entries) {
    const tab = entry.indexOf('\t');
    const [mode = '', , stage = ''] = entry.slice(0, tab).split(' ');
    const path = entry.slice(tab + 1);
    stages.set(path, (stages.get(path) ?? new Map()).set(stage, mode));
  }
  return stages;
}

function kindOfSides(sides: Sides): Kind {
  if ([...sides.values()].includes(gitlink)) return 'submodule';
  return sides.has('1') ? 'content' : 'add/add';
}

/** @returns undefined for a message that tells of no conflict */
function kindOf(type: string, sides: Sides | undefined): Kind | undefined {
  const [, word] = /^CONFLICT ?\((.*)\)$/.exec(type) ?? [];
  if (word === undefined) return undefined;
  if (word === 'contents') return kindOfSides(sides ?? new Map([['1', '']]));
  if (word.startsWith('submodule')) return 'submodule';
  if (word.includes('directory rename')) return 'directory rename';
  if (word === 'rename involved in collision') return 'rename/add';
  if (word === 'distinct modes') return 'distinct types';
  return kinds.find((kind) => kind === word) ?? 'content';
}

/** A file that makes way for a directory gets its side's name behind its own, here an oid. */
function withoutSide(
  path: string,
  { ours, theirs }: { readonly ours: string; readonly theirs: string },
): string {
  const at = Math.max(path.lastIndexOf(`~${ours}`), path.lastIndexOf(`~${theirs}`));
  return at < 0 ? path : path.slice(0, at);
}
