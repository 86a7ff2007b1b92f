import { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import { nullOid, type RefCommand, shortRef } from '../../model/ref.ts';
import { readRefsOf } from '../../programs/refs.ts';
import type { Actor } from '../../store/changes.ts';
import type { Conflict, Kept } from '../../store/conflicts.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { changeRefs } from '../ref-change.ts';

export interface Resolution {
  readonly repo: Repository;
  readonly conflict: Conflict;
  readonly keep: Kept;
  readonly principal: Principal;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/**
 * Ends a conflict by a person's decision, under the same rules as a push. What is not kept in a ref stays among the
 * values that were set aside.
 *
 * @returns the ref that was made of the other value, where both are kept
 * @throws UserError `denied` where a rule stands against it
 */
export async function resolveConflict(
  core: Core,
  { repo, conflict, keep, principal, by, signal }: Resolution,
): Promise<string | undefined> {
  const { ref, remote } = conflict;
  const kept = `refs/heads/conflict/${conflict.server}/${ref.replace(/^refs\/[^/]+\//, '')}`;
  const directory = core.repos.directory(repo);
  const target = keep === 'both' ? kept : ref;
  const old = (await readRefsOf(directory, [target])).get(target)?.oid ?? nullOid;
  const makesBranch = keep === 'both' && remote !== nullOid;
  if (keep === 'remote' || makesBranch) {
    const commands: RefCommand[] = old === remote ? [] : [{ ref: target, old, new: remote }];
    const change = { repo, principal, by, signal, commands, action: 'conflicts resolve' };
    const results = commands.length === 0 ? [] : await changeRefs(core, change);
    const refused = results.find((each) => each.refused !== undefined)?.refused;
    if (refused !== undefined) throw new UserError('denied', `${shortRef(target)}: ${refused}`);
    if (!by.dryRun) core.sizes.changed(repo, directory);
  }
  await core.store.conflicts.end(conflict, keep, by);
  return makesBranch ? kept : undefined;
}
