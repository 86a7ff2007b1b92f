import { shortOid } from '../model/oid.ts';
import { refWord, sshLine } from '../model/shell-line.ts';

/** A push that left more than so many values tells of the first ones. */
const shown = 10;

/**
 * What one who overwrote or deleted refs is told: what they were, and the line that brings it back.
 *
 * @param url - `ssh://USER@HOST[:PORT]` of this server
 */
export function undoLines(
  url: string,
  repo: string,
  left: readonly { readonly ref: string; readonly oid: string }[],
): readonly string[] {
  const lines = left.slice(0, shown).map(({ ref, oid }) => {
    const word = refWord(ref);
    if (word === undefined) {
      return `a ref was ${shortOid(oid)}; see: ${sshLine(url, ['repo', 'history', repo])}`;
    }
    const undo = sshLine(url, ['repo', 'undo', repo, word, '--yes']);
    return `${word} was ${shortOid(oid)}; undo: ${undo}`;
  });
  if (left.length <= shown) return lines;
  const all = sshLine(url, ['repo', 'history', repo]);
  return [...lines, `and ${left.length - shown} more; see: ${all}`];
}
