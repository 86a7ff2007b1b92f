import { checkedMessage } from '../../model/commit.ts';
import { UserError } from '../../model/errors.ts';
import { shortOid } from '../../model/oid.ts';
import type { Principal } from '../../model/principal.ts';
import { nullOid, type RefCommand, refFault } from '../../model/ref.ts';
import { escapeControls, quoted } from '../../model/repo.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { type MergeMode, mergeModes } from './join.ts';
import { type MergeAnswer, mergeBranches } from './merge.ts';

/** A push that is done, and the options that came with it. */
export interface Followed {
  readonly repo: Repository;
  readonly principal: Principal;
  readonly by: Actor;
  readonly signal: AbortSignal;
  readonly pushed: readonly RefCommand[];
  readonly options: readonly string[];
}

/** What a push's options ask for. */
interface Wish {
  /** Undefined where no merge is asked for, empty for the default branch. */
  readonly into: string | undefined;
  readonly mode: string;
  readonly message: string | undefined;
  readonly unknown: readonly string[];
}

const words: readonly string[] = ['merge', 'mode', 'message'];

/** So many conflicts, or options, are named to a client that pushes. */
const mostNamed = 20;

/**
 * `git push -o merge=main [-o mode=squash]`: merges the branch that was pushed, by the same rules as `merge`. Whatever
 * comes of that, the push is done and stays so.
 *
 * @returns lines for the client, safe to show, and what came of a merge
 */
export async function mergeAfterPush(
  core: Core,
  followed: Followed,
): Promise<{ lines: readonly string[]; merged?: MergeAnswer }> {
  const wish = wishOf(followed.options);
  const warnings = wish.unknown
    .slice(0, mostNamed)
    .map((option) => `push option ${quoted(option)} means nothing here`);
  if (wish.into === undefined) return { lines: warnings };
  try {
    const merged = await merge(core, followed, { ...wish, into: wish.into });
    return { lines: [...warnings, ...told(merged)], merged };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message, hint } = error;
    const lines = [`not merged: ${message}`, ...(hint === undefined ? [] : [`hint: ${hint}`])];
    return { lines: [...warnings, ...lines.map(escapeControls)] };
  }
}

function wishOf(options: readonly string[]): Wish {
  const given = new Map<string, string>();
  const unknown: string[] = [];
  for (const option of options) {
    const end = option.indexOf('=');
    const word = end < 0 ? option : option.slice(0, end);
    if (words.includes(word)) given.set(word, end < 0 ? '' : option.slice(end + 1));
    else unknown.push(option);
  }
  const into = given.get('merge');
  const { mode = 'merge', message } = Object.fromEntries(given);
  // The other words say how to merge: without one they mean nothing.
  return { into, mode, message, unknown: into === undefined ? options : unknown };
}

async function merge(
  core: Core,
  { repo, principal, by, signal, pushed }: Followed,
  { into, mode, message }: Wish & { readonly into: string },
): Promise<MergeAnswer> {
  const branches = pushed.filter(
    ({ ref, new: next }) => ref.startsWith('refs/heads/') && next !== nullOid,
  );
  const [branch] = branches;
  if (branch === undefined || branches.length > 1) {
    throw new UserError('usage', 'a merge follows the push of one branch', {
      hint: 'push it alone, or merge with: merge REPO SOURCE',
    });
  }
  const fault = into === '' ? undefined : refFault(`refs/heads/${into}`);
  if (fault !== undefined) {
    throw new UserError('usage', `${quoted(into)} is not a branch name: ${fault}`);
  }
  return mergeBranches(core, {
    ...{ repo, principal, by, signal },
    source: branch.ref,
    ...(into === '' ? {} : { into }),
    mode: modeOf(mode),
    message: message === undefined ? undefined : checkedMessage(Buffer.from(message)),
    pushed: true,
  });
}

/** @throws UserError `usage` */
function modeOf(word: string): MergeMode {
  const mode = mergeModes.find((each) => each === word);
  if (mode !== undefined) return mode;
  throw new UserError('usage', `${quoted(word)} is not a mode`, {
    hint: `it is one of: ${mergeModes.join(', ')}`,
  });
}

function told({ result, source, target, commit, conflicts }: MergeAnswer): readonly string[] {
  const at = commit === undefined ? '' : `: ${shortOid(commit)}`;
  if (result !== 'conflict') return [escapeControls(`${target}: ${result} with ${source}${at}`)];
  const named = conflicts.slice(0, mostNamed).map(({ path, kind }) => `  ${kind}: ${path}`);
  const more = conflicts.length - named.length;
  return [
    `not merged: ${source} conflicts with ${target}`,
    ...named,
    ...(more > 0 ? [`  and ${more} more`] : []),
    `hint: git pull origin ${target}, resolve, then push again`,
  ].map(escapeControls);
}
