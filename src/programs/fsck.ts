import type { Git, GitConfig } from './git.ts';
import { type Watch, watch } from './watched.ts';

/** Faults that old, honest histories carry; pushes may have them, too. */
const forgiven: GitConfig = {
  'fsck.zeroPaddedFilemode': 'ignore',
  'fsck.badTimezone': 'ignore',
  'fsck.missingSpaceBeforeDate': 'ignore',
};

/**
 * Has git check every object of a repository and all that its refs lead to.
 *
 * @param strict - as for what a push brings; otherwise only what git calls an error counts
 * @returns what it found, in its own words; empty when all is well
 */
export async function fsck(
  git: Git,
  directory: string,
  { strict, signal, progress }: Watch & { readonly strict: boolean },
): Promise<readonly string[]> {
  const flags = ['--full', '--no-dangling', '--no-reflogs', ...(strict ? ['--strict'] : [])];
  const show = progress === undefined ? '--no-progress' : '--progress';
  const { status, lines } = await watch(git, ['fsck', ...flags, show], {
    cwd: directory,
    config: forgiven,
    signal,
    progress,
  });
  const said = lines
    .filter((line) => !line.startsWith('notice: ') && (strict || !line.startsWith('warning ')))
    .map((line) => line.replaceAll(directory, '.'));
  if (status === 0) return [];
  return said.length > 0 ? said : [`git fsck ended with ${status}`];
}
