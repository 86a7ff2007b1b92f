import { UserError } from '../model/errors.ts';
import { parseRepoPath, type RepoPath } from '../model/repo.ts';

/**
 * Reads the one argument that git's clients give a program: the repository's path.
 *
 * @throws UserError `usage` on none, on more, and on what is no repository's name
 */
export function planned(
  action: string,
  words: readonly string[],
): { readonly action: string; readonly path: RepoPath } {
  const [path, ...rest] = words;
  if (path === undefined || rest.length > 0) {
    throw new UserError('usage', `${action} takes one argument, a repository`, {
      hint: 'a repository is called NAMESPACE/NAME, or NAME in your own namespace',
    });
  }
  return { action, path: parseRepoPath(path) };
}
