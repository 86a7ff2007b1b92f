import { join } from 'node:path';
import type { Ident } from '../../model/commit.ts';
import { UserError } from '../../model/errors.ts';
import { type Principal, principalText } from '../../model/principal.ts';
import { shortRef } from '../../model/ref.ts';
import { quoted } from '../../model/repo.ts';
import { peelToCommit } from '../../programs/ancestry.ts';
import type { Conflict } from '../../programs/merge-tree.ts';
import { readRefsOf } from '../../programs/refs.ts';
import { closeScratch, gatherObjects, openScratch, type Scratch } from '../../programs/scratch.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { endOf } from '../locks.ts';
import { changeRefs } from '../ref-change.ts';
import { type Joined, joinCommits, type MergeMode } from './join.ts';
import type { Named } from './message.ts';

/** What history and the change log call it. */
const action = 'merge';

/** After so long somebody else wants the machine too. */
const longestMs = 120_000;

/** A merge in the bare repository, by somebody who may write to it. */
export interface MergeRequest {
  readonly repo: Repository;
  readonly principal: Principal;
  readonly by: Actor;
  readonly signal: AbortSignal;
  /** The exact name of a branch or tag, with or without `refs/heads/` or `refs/tags/`. @see sourceFault */
  readonly source: string;
  /** A branch; the default one unless given. */
  readonly into?: string | undefined;
  readonly mode: MergeMode;
  /** Already clean; git's own words unless given. */
  readonly message?: string | undefined;
  /** Asked for by a push, which holds the repository. */
  readonly pushed?: true;
  readonly limitMs?: number;
}

export interface MergeAnswer {
  readonly changed: boolean;
  readonly source: string;
  readonly target: string;
  readonly result: Joined['result'];
  /** Where the target is now; undefined for a conflict, and for a commit that a dry run did not make. */
  readonly commit: string | undefined;
  readonly conflicts: readonly Conflict[];
  /** The commit that could not be applied, where several were. */
  readonly during: string | undefined;
}

/**
 * Merges a branch or tag into a branch, under the same rules as a push. What git writes on the way lies in an object
 * directory of its own until all is decided: a refusal, a conflict, a dry run and a crash leave nothing.
 *
 * @throws UserError `not_found` without source or target, `denied` by right or rule, `conflict` where the mode or the
 *   histories forbid it or the target moves twice meanwhile, `unavailable` when it takes too long
 */
export async function mergeBranches(core: Core, request: MergeRequest): Promise<MergeAnswer> {
  const { limitMs = longestMs } = request;
  const bound = new AbortController();
  const end = (): void => bound.abort(request.signal.reason);
  const late = new UserError('unavailable', `the merge took longer than ${limitMs / 1000} s`, {
    hint: 'merge on your machine and push what comes of it',
  });
  const timer = setTimeout(() => bound.abort(late), limitMs);
  if (request.signal.aborted) end();
  request.signal.addEventListener('abort', end, { once: true });
  try {
    return await mergeHeld(core, { ...request, signal: bound.signal });
  } catch (error) {
    // Whatever a program says that was ended: this is why.
    throw bound.signal.aborted ? endOf(bound.signal) : error;
  } finally {
    clearTimeout(timer);
    request.signal.removeEventListener('abort', end);
  }
}

async function mergeHeld(core: Core, request: MergeRequest): Promise<MergeAnswer> {
  const { repo, signal, pushed } = request;
  const release = pushed === true ? () => undefined : await core.repos.hold(repo, signal);
  try {
    await core.room.onDisk();
    await core.room.inNamespace({ id: repo.namespaceId, name: repo.namespace });
    return (await attempt(core, request, 'again')) ?? (await attempt(core, request, 'last'));
  } finally {
    release();
  }
}

/** @returns undefined when the target moved meanwhile and that is to be tried again */
function attempt(core: Core, request: MergeRequest, then: 'last'): Promise<MergeAnswer>;
function attempt(
  core: Core,
  request: MergeRequest,
  then: 'again',
): Promise<MergeAnswer | undefined>;
async function attempt(
  core: Core,
  request: MergeRequest,
  then: 'again' | 'last',
): Promise<MergeAnswer | undefined> {
  const { repo, mode, message, signal } = request;
  const directory = core.repos.directory(repo);
  const scratch = await openScratch(join(core.config.dataDir, 'incoming'), { directory, signal });
  try {
    const { source, theirs, target, ours } = await tipsOf(core, request, directory);
    const who = await identOf(core, request.principal);
    const join = { ours, theirs, source, target, mode, who, at: new Date(), message };
    const joined = await joinCommits(core.git, scratch, join);
    if (!(await move(core, request, { scratch, joined, target, ours, theirs, then }))) {
      return undefined;
    }
    return answerOf(request, joined, { source: source.name, target });
  } finally {
    await closeScratch(scratch);
  }
}

function answerOf(
  { by }: MergeRequest,
  joined: Joined,
  names: { readonly source: string; readonly target: string },
): MergeAnswer {
  const { result } = joined;
  if (result === 'conflict') {
    const { conflicts, during } = joined;
    return { changed: false, ...names, result, commit: undefined, conflicts, during };
  }
  const isThere = !by.dryRun || result === 'up-to-date' || result === 'fast-forward';
  return {
    changed: result !== 'up-to-date',
    ...names,
    result,
    commit: isThere ? joined.commit : undefined,
    conflicts: [],
    during: undefined,
  };
}

interface Move {
  readonly scratch: Scratch;
  readonly joined: Joined;
  readonly target: string;
  readonly ours: string;
  readonly theirs: string;
  readonly then: 'again' | 'last';
}

/** @returns false when the target moved meanwhile and that is to be tried again */
async function move(
  core: Core,
  { repo, by, principal, signal, pushed }: MergeRequest,
  { scratch, joined, target, ours, theirs, then }: Move,
): Promise<boolean> {
  if (joined.result === 'conflict' || joined.result === 'up-to-date') return true;
  const { commit } = joined;
  const known = [ours, theirs];
  const quarantine =
    commit === theirs ? undefined : await gatherObjects(core.git, scratch, { commit, known });
  const commands = [{ ref: `refs/heads/${target}`, old: ours, new: commit }];
  const change = { repo, commands, by, action, principal, signal, held: true } as const;
  try {
    const [done] = await changeRefs(core, {
      ...change,
      ...(pushed === undefined ? {} : { through: 'git' }),
      ...(quarantine === undefined ? {} : { quarantine }),
    });
    if (done?.refused !== undefined) {
      const { refused, hint } = done;
      const more = { ...(hint === undefined ? {} : { hint }), aboutId: repo.id };
      throw new UserError('denied', `${target}: ${refused}`, more);
    }
  } catch (error) {
    const moved = error instanceof UserError && error.code === 'conflict';
    if (moved && then === 'again') return false;
    throw error;
  }
  if (!by.dryRun) core.sizes.changed(repo, core.repos.directory(repo));
  return true;
}

interface Tips {
  readonly source: Named;
  readonly theirs: string;
  readonly target: string;
  readonly ours: string;
}

async function tipsOf(core: Core, request: MergeRequest, directory: string): Promise<Tips> {
  const { repo, source: name, into: target = repo.defaultBranch, signal } = request;
  const sources = refsNamed(name);
  const into = `refs/heads/${target}`;
  const values = await readRefsOf(directory, [...sources, into]);
  const oidOf = (ref: string): string | undefined => {
    const value = values.get(ref);
    if (value?.symref === undefined) return value?.oid;
    throw new UserError('conflict', `${quoted(shortRef(ref))} is a name for another ref`, {
      hint: 'name the other one',
    });
  };
  const found = sources.filter((ref) => oidOf(ref) !== undefined);
  if (found.length > 1) {
    throw new UserError('usage', `${quoted(name)} is a branch and a tag`, {
      hint: `write ${found.join(' or ')}`,
    });
  }
  const [ref] = found;
  if (ref === undefined) throw missing(repo, `branch or tag ${quoted(name)}`);
  const ours = oidOf(into);
  if (ours === undefined) throw missing(repo, `branch ${quoted(target)}`);
  const theirs = await peelToCommit(core.git, { directory, signal }, oidOf(ref) ?? '');
  if (theirs === undefined) {
    throw new UserError('conflict', `${quoted(name)} is a tag of something that is no commit`);
  }
  return { source: namedBy(ref), theirs, target, ours };
}

/** Which refs a source's name may mean. */
function refsNamed(name: string): readonly string[] {
  if (name.startsWith('refs/heads/') || name.startsWith('refs/tags/')) return [name];
  return [`refs/heads/${name}`, `refs/tags/${name}`];
}

function namedBy(ref: string): Named {
  const kind = ref.startsWith('refs/tags/') ? 'tag' : 'branch';
  return { kind, name: ref.slice(kind === 'tag' ? 'refs/tags/'.length : 'refs/heads/'.length) };
}

function missing(repo: Repository, what: string): UserError {
  return new UserError('not_found', `${repo.fullName} has no ${what}`, {
    hint: `see its refs with: show ${repo.fullName}`,
    aboutId: repo.id,
  });
}

/** Who makes the commits of a merge: the user's record says, never the commits that were pushed (S13). */
async function identOf(core: Core, principal: Principal): Promise<Ident> {
  const host = new URL(core.cloneUrl('')).hostname;
  if (principal.kind !== 'user') {
    const name = principalText(principal);
    return { name, email: `${principal.kind}@${host}` };
  }
  const user = await core.store.users.byId(principal.id);
  const name = user?.name ?? principal.name;
  return { name, email: user?.email ?? `${name}@${host}` };
}
