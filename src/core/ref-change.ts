import { UserError } from '../model/errors.ts';
import type { Principal } from '../model/principal.ts';
import { isWritableRef, nullOid, type RefCommand, refFault, shortRef } from '../model/ref.ts';
import { quoted, type RepoPath } from '../model/repo.ts';
import { admitObjects } from '../programs/admit.ts';
import { readRefsOf } from '../programs/refs.ts';
import { updateRefs } from '../programs/tips.ts';
import type { Actor } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { AccessControl } from './access.ts';
import type { Ask } from './ask.ts';
import type { HookScripts } from './hook-scripts.ts';
import { keyRefusal } from './key-refs.ts';
import { endOf, type Locks } from './locks.ts';
import type { Mending } from './mending.ts';
import type { RefResult } from './push.ts';
import { holdMoves } from './ref-moves.ts';
import type { Refusal } from './refusal.ts';
import type { Rules } from './rules.ts';
import { archiveDeleted, type Deed, resultsOf, type SettleParts, settleRefs } from './settle.ts';

/** Why a ref stays that nothing speaks against. */
export const notDone = 'not done: another ref was refused';

export interface ChangeParts extends SettleParts {
  readonly locks: Locks;
  readonly mending: Mending;
  readonly access: AccessControl;
  readonly rules: Rules;
  readonly scripts: HookScripts;
}

/** A change of refs that is no push: a merge, an undo. */
export interface RefChange extends Deed {
  readonly repo: Repository;
  readonly commands: readonly RefCommand[];
  readonly principal: Principal;
  readonly signal: AbortSignal;
  /** What is decided anew once repository and refs are held; the right to write unless told. */
  readonly needs?: (path: RepoPath) => Ask;
  /** By a push, which deploy keys may do too, each within the refs that it is bound to. */
  readonly through?: 'git';
  /** An object directory whose objects are brought into the repository once all is decided. */
  readonly quarantine?: string;
  /** It brings back what a force or a deletion replaced, and is decided as an update (S13). */
  readonly isRepair?: boolean;
  /** The main whose mirror this is has decided it by its own rules, which are the same here. */
  readonly decidedThere?: boolean;
  /** The caller holds the repository, from its own decision on. @see Repos.hold */
  readonly held?: true;
}

/**
 * Moves refs as one, each only from its old value: decided, journaled, done by git, archived, durable, in history when
 * it returns; what a crash cuts off is settled by the next start. In a dry run it is decided, and nothing done.
 *
 * @returns one result per command, in their order: all done, or none, each with the reason why
 * @throws UserError `conflict` when a ref is not at its old value (any more), and whatever ends the right to do it;
 *   nothing has changed then
 */
export async function changeRefs(
  parts: ChangeParts,
  change: RefChange,
): Promise<readonly RefResult[]> {
  const { repo, commands, signal } = change;
  for (const { ref } of commands) checkWritable(ref);
  const releases: (() => void)[] = [];
  try {
    if (change.held !== true) releases.push(await parts.repos.hold(repo, signal));
    const refs = commands.map(({ ref }) => ref);
    releases.push(await holdMoves(parts, repo.id, { refs, signal }));
    const { repo: now, refs: bound } = await decideAgain(parts, change);
    await checkValues(parts.repos.directory(now), commands);
    const unbound = commands.map(({ ref }) => keyRefusal(bound, ref));
    const isBound = unbound.every((reason) => reason === undefined);
    const refusals = isBound ? await refusalsOf(parts, now, change) : unbound.map(asRefusal);
    if (refusals.some((refusal) => refusal !== undefined)) {
      return commands.map((command, at) => ({
        command,
        refused: refusals[at]?.reason ?? notDone,
        hint: refusals[at]?.hint,
      }));
    }
    if (signal.aborted) throw endOf(signal);
    if (!change.by.dryRun) await carryOut(parts, now, { ...change, by: decided(change.by) });
    return commands.map((command) => ({ command, refused: undefined }));
  } finally {
    for (const release of releases.reverse()) release();
  }
}

/** Who may do it has just been decided, under the locks: asked once more, a no would come after the refs have moved. */
function decided({ stillMay: _, ...by }: Actor): Actor {
  return by;
}

function asRefusal(reason: string | undefined): Refusal | undefined {
  return reason === undefined ? undefined : { reason, hint: undefined };
}

/** What the rules and the operator's scripts have against it, its objects seen where they are so far. */
async function refusalsOf(
  { rules, scripts, repos }: ChangeParts,
  repo: Repository,
  change: RefChange,
): Promise<readonly (Refusal | undefined)[]> {
  const wanted = { ...change, repo };
  const { commands, quarantine, signal } = change;
  const judged = change.decidedThere === true ? [] : await rules.judge(wanted);
  if (judged.some(({ refusal }) => refusal !== undefined)) {
    return judged.map(({ refusal }) => refusal);
  }
  const place = { directory: repos.directory(repo), quarantine, signal };
  const refusals =
    change.decidedThere === true
      ? commands.map(() => undefined)
      : await rules.judgeObjects(wanted, judged, place);
  // A dry run is to leave nothing behind, and nobody knows what a script does.
  if (change.by.dryRun || refusals.some((refusal) => refusal !== undefined)) return refusals;
  const { by, action } = change;
  const tell = async () => undefined;
  const no = await scripts.refusal(wanted, commands, { by, action, place, tell });
  return commands.map(() => no);
}

function checkWritable(ref: string): void {
  const fault = refFault(ref) ?? (isWritableRef(ref) ? undefined : 'nobody may write there');
  if (fault !== undefined) throw new UserError('usage', `${quoted(ref)}: ${fault}`);
}

/** What was true before the wait for the locks may not be true any more (S11). */
async function decideAgain(
  { access }: ChangeParts,
  { principal, repo, needs, through }: RefChange,
): Promise<{ repo: Repository; refs: readonly string[] | undefined }> {
  const path = { namespace: repo.namespace, name: repo.name };
  const toWrite = { need: 'repo', path, right: 'write', ...(through && { through }) } as const;
  const granted = await access.authorize(principal, needs?.(path) ?? toWrite);
  if (granted.repo?.id === repo.id) return { repo: granted.repo, refs: granted.decision.refs };
  throw new UserError('unavailable', `${repo.fullName}: it was moved meanwhile`, {
    hint: 'try again',
  });
}

/** git would follow a symref to a ref that nobody decided on. */
async function checkValues(directory: string, commands: readonly RefCommand[]): Promise<void> {
  const values = await readRefsOf(
    directory,
    commands.map(({ ref }) => ref),
  );
  for (const { ref, old } of commands) {
    const value = values.get(ref);
    if (value?.symref !== undefined) {
      throw new UserError('conflict', `${quoted(shortRef(ref))} is a name for another ref`);
    }
    if ((value?.oid ?? nullOid) === old) continue;
    throw new UserError('conflict', `${quoted(shortRef(ref))} changed meanwhile`, {
      hint: 'look at it again, then repeat',
    });
  }
}

async function carryOut(parts: ChangeParts, repo: Repository, change: RefChange): Promise<void> {
  const { store, repos, git } = parts;
  const { commands, action, by, quarantine } = change;
  const directory = repos.directory(repo);
  await store.pushes.journal(repo.id, action, false, commands, by);
  try {
    if (quarantine !== undefined) await admitObjects(quarantine, directory);
    await archiveDeleted(git, directory, commands);
    await updateRefs(git, directory, commands);
  } catch (error) {
    // git may have done it and failed afterwards: the refs tell.
    const results = await resultsOf(directory, commands, 'it broke off');
    const done = results.flatMap(({ command, refused }) =>
      refused === undefined ? [command] : [],
    );
    await settleRefs(parts, repo, done, change);
    if (done.length === commands.length) return;
    await parts.mending.refused(
      repo,
      commands.map(({ ref }) => ref),
    );
    throw error;
  }
  await settleRefs(parts, repo, commands, change);
}
