import { nullOid } from './ref.ts';
import type { Deletion } from './sync-refs.ts';

/** How two values of a ref lie to each other; `apart` where neither descends from the other, or one is no commit. */
export type Relation = 'same' | 'ahead' | 'behind' | 'apart';

/** One ref as two servers have it; undefined where it does not exist. */
export interface RefState {
  readonly ref: string;
  readonly mine: string | undefined;
  readonly theirs: string | undefined;
  /** Their value that this server last kept; undefined where it did not exist, or nothing was agreed. */
  readonly base: string | undefined;
  /** Whether anything was agreed with that server before. */
  readonly met: boolean;
  /** What they deleted, if they did: what is merely absent is deleted nowhere. */
  readonly deletedThere: Deletion | undefined;
  /** What was deleted here by the last that happened to the ref. */
  readonly deletedHere: Deletion | undefined;
  /** What the creation is called of the one value that exists, as far as it is known. */
  readonly birth: string | undefined;
  /** They decided, knowing our value, that theirs is to stay. */
  readonly decidedThere: boolean;
  /** They found that both values can't stand, which only they could see: what they have is no news here. */
  readonly conflictThere: boolean;
  /** It is in conflict with them here, and they know the value that it still has. */
  readonly conflictHere: boolean;
  /** The repository was born there: it is theirs to change. */
  readonly mirror: boolean;
  /** They led before, and this server took over: what they alone have is for a person to decide on. */
  readonly recalled: boolean;
}

export type ConflictKind = 'diverged' | 'modify_delete' | 'delete_modify' | 'tag_moved';

/** What is to be done with a ref. */
export type RefStep =
  | { readonly step: 'nothing' }
  /** Their value becomes ours; `forced` where ours is then archived. */
  | { readonly step: 'take'; readonly forced: boolean }
  | { readonly step: 'delete' }
  /** Nothing, and they are to be told that it was deleted here: they have what they never heard the end of. */
  | { readonly step: 'tell' }
  | { readonly step: 'conflict'; readonly kind: ConflictKind };

const nothing: RefStep = { step: 'nothing' };

/**
 * The three-way rule for one ref (replication.md, section 3). It never lets a value go that only one side has.
 *
 * @param relation - how theirs lies to ours: `ahead` when it descends from ours; asked only where both exist
 */
export function planRef(state: RefState, relation: () => Relation): RefStep {
  const { mine, theirs, base, met } = state;
  if (theirs === mine) return nothing;
  if (state.recalled) return planRecalled(state, relation);
  if (theirs === undefined) return planAbsent(state, mine ?? nullOid);
  if (mine === undefined) return planUnknown(state, theirs);
  const isKnown = met && theirs === base && !state.conflictThere;
  if (isKnown && !state.decidedThere) return nothing;
  if (state.mirror || state.decidedThere) return { step: 'take', forced: relation() !== 'ahead' };
  if (state.ref.startsWith('refs/tags/')) return { step: 'conflict', kind: 'tag_moved' };
  const lies = relation();
  if (lies === 'ahead') return { step: 'take', forced: false };
  if (met && mine === base) return { step: 'take', forced: true };
  // What they were set back to, knowing our value, does not move on to it by itself.
  const isJoined = lies === 'behind' && !state.conflictHere;
  return isJoined ? nothing : { step: 'conflict', kind: 'diverged' };
}

/** What only the one that led before has comes back as a conflict, and moves nothing. */
function planRecalled(state: RefState, relation: () => Relation): RefStep {
  const { ref, mine, theirs, base, met, deletedThere } = state;
  if (theirs === undefined) {
    const meant = deletedThere !== undefined && base !== undefined;
    return meant ? { step: 'conflict', kind: 'modify_delete' } : nothing;
  }
  if (met && theirs === base) return nothing;
  if (mine === undefined) return { step: 'conflict', kind: 'delete_modify' };
  if (ref.startsWith('refs/tags/')) return { step: 'conflict', kind: 'tag_moved' };
  return relation() === 'behind' ? nothing : { step: 'conflict', kind: 'diverged' };
}

/** They do not have it. */
function planAbsent(state: RefState, mine: string): RefStep {
  const { met, base, deletedThere, birth } = state;
  if (state.decidedThere) return { step: 'delete' };
  if (state.conflictThere) return { step: 'conflict', kind: 'modify_delete' };
  if (deletedThere === undefined) return nothing;
  if (state.mirror || (met && mine === base)) return { step: 'delete' };
  // What they deleted was agreed to have another value: somebody moved it here meanwhile.
  if (met && base !== undefined) return { step: 'conflict', kind: 'modify_delete' };
  // It came here by another way, and they deleted it before it came to them from here.
  const isThat = mine === deletedThere.oid && birth !== undefined && birth === deletedThere.birth;
  return met && isThat ? { step: 'delete' } : nothing;
}

/** We do not have it. */
function planUnknown(state: RefState, theirs: string): RefStep {
  if (state.mirror || state.decidedThere) return { step: 'take', forced: false };
  if (state.conflictThere) return { step: 'conflict', kind: 'delete_modify' };
  if (state.met && theirs === state.base) return nothing;
  if (state.deletedHere?.oid === theirs && !isAnew(state)) {
    // A value that was deleted here is not brought back by one who has not heard of it.
    const isThat = state.birth !== undefined && state.birth === state.deletedHere.birth;
    return state.met && isThat ? { step: 'tell' } : nothing;
  }
  const isMoved = state.met && state.base !== undefined && state.deletedHere !== undefined;
  // What they created again after all of it was deleted is no change of what was deleted here.
  if (isMoved && !isAnew(state)) return { step: 'conflict', kind: 'delete_modify' };
  return { step: 'take', forced: false };
}

/** Whether they created it again after what was deleted here, or another of the same value. */
function isAnew({ met, birth, deletedHere }: RefState): boolean {
  if (!met || birth === undefined || deletedHere?.birth === undefined) return false;
  return birth !== deletedHere.birth;
}

/** Whether so much would be deleted or forced at once that a person should look first. */
export function shrinks(mineCount: number, lost: number, theirsCount: number): boolean {
  if (theirsCount === 0 && mineCount > 0 && lost > 0) return true;
  return lost >= 10 && lost > mineCount * 0.2;
}
