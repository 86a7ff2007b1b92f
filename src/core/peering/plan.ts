import { nullOid, type RefCommand, shortRef } from '../../model/ref.ts';
import { RefSpace } from '../../model/ref-space.ts';
import { planRef, type RefStep, type Relation, shrinks } from '../../model/sync-plan.ts';
import type { Deletion, RefList } from '../../model/sync-refs.ts';
import { isForward, relationOf } from '../../programs/pack.ts';
import type { Store } from '../../store/store.ts';
import type { Base, ToldAt } from '../../store/syncs.ts';
import type { Core } from '../core.ts';
import type { Admission, Checked, RefOutcome } from './admit.ts';
import type { Received } from './inbox.ts';
import { visibleRefs } from './snapshot.ts';

export interface Planned {
  readonly held: boolean;
  readonly mine: RefList;
  readonly steps: ReadonlyMap<string, RefStep>;
  readonly commands: readonly RefCommand[];
  readonly relations: ReadonlyMap<string, Relation>;
}

/** What would come of it. */
export function rehearsed({ mine, commands, steps }: Planned): RefOutcome[] {
  const blocked = blockedOf(mine, commands);
  const conflicts = [...steps].filter(([, { step }]) => step === 'conflict');
  return [
    ...commands.map(({ ref }): RefOutcome => {
      const why = blocked.get(ref);
      return why === undefined ? { ref, outcome: 'applied' } : { ref, outcome: 'rejected', why };
    }),
    ...conflicts.map(([ref]) => ({ ref, outcome: 'conflict' }) as const),
  ];
}

/** What is to be done with each ref that the two have otherwise, and whether a person should look first. */
export async function plan(
  core: Core,
  { repo, server, decided, only, allowShrink, toldAt, recalled = false }: Admission,
  { received, base, decisions, scratch, commits }: Checked,
): Promise<Planned> {
  const { store, git, repos } = core;
  const directory = repos.directory(repo);
  const mine = await visibleRefs(directory);
  const link = await store.serverLinks.of(server.id, repo.id);
  const isMirror = server.role === 'main' && link?.bornThere === true;
  const { refs: theirs } = received;
  const moved = [...mine].filter(([ref, oid]) => theirs.get(ref) !== oid).map(([ref]) => ref);
  const absent = [...theirs.keys()].filter((ref) => !mine.has(ref));
  const names = [...moved, ...absent].filter((ref) => only === undefined || only.has(ref));
  const endings = await endingsOf(store, repo.id, { names, mine, received });
  const open = (await store.conflicts.open(repo.id)).filter((each) => each.serverId === server.id);
  const disputed = new Map(open.map(({ ref, local }) => [ref, local]));
  const steps = new Map<string, RefStep>();
  const relations = new Map<string, Relation>();
  for (const ref of names) {
    const [own, other] = [mine.get(ref), theirs.get(ref)];
    if (own !== undefined && other !== undefined) {
      const asked = { mine: own, theirs: other, scratch };
      const known = isForward(commits, asked) ? 'ahead' : undefined;
      relations.set(ref, known ?? (await relationOf(git, directory, asked)));
    }
    const state = {
      ref,
      mine: own,
      theirs: other,
      base: base?.refs.get(ref),
      met: base !== undefined,
      deletedThere: received.deleted.get(ref),
      deletedHere: endings.here.get(ref),
      birth: own === undefined ? received.births.get(ref) : endings.births.get(ref),
      decidedThere: isDecided(
        ref,
        { own: own ?? nullOid, other: other ?? nullOid },
        { decided, decisions },
      ),
      conflictThere: only?.has(ref) === true,
      conflictHere: own !== undefined && disputed.get(ref) === own,
      mirror: isMirror,
      recalled,
    };
    steps.set(
      ref,
      planRef(state, () => relations.get(ref) ?? 'apart'),
    );
  }
  const commands = [...steps].flatMap(([ref, { step }]): RefCommand[] => {
    const old = mine.get(ref) ?? nullOid;
    if (step === 'take') return [{ ref, old, new: theirs.get(ref) ?? nullOid }];
    return step === 'delete' ? [{ ref, old, new: nullOid }] : [];
  });
  const lost = [...steps.values()].filter(
    (one) => one.step === 'delete' || ('forced' in one && one.forced),
  );
  const isBack =
    isMirror &&
    (await setsBack(store, repo.id, { base, toldAt, received, mine, steps, relations }));
  const held = !allowShrink && (isBack || shrinks(mine.size, lost.length, theirs.size));
  return { held, mine, steps, commands, relations };
}

/** Which refs can't be made beside those that stay here, and why: the others move all the same (replication.md, A8). */
export function blockedOf(
  mine: RefList,
  commands: readonly RefCommand[],
): ReadonlyMap<string, string> {
  const created = commands.filter(({ old }) => old === nullOid);
  if (created.length === 0) return new Map();
  const ended = new Set(commands.flatMap((each) => (each.new === nullOid ? [each.ref] : [])));
  const space = new RefSpace([...mine.keys()].filter((ref) => !ended.has(ref)));
  return new Map(
    created.flatMap(({ ref }) => {
      const other = space.inTheWay(ref);
      return other === undefined ? [] : [[ref, `it can not be beside ${shortRef(other)}`] as const];
    }),
  );
}

/**
 * Whether they decided over our value that theirs is to stay. Where it was decided here otherwise, and neither had heard
 * of the other, one of the two values stays on both sides: the one that is greater.
 */
function isDecided(
  ref: string,
  { own, other }: { own: string; other: string },
  { decided, decisions }: { decided: RefList; decisions: RefList },
): boolean {
  const isOurs = decisions.get(ref) === other && own > other;
  return decided.get(ref) === own && !isOurs;
}

/** What was deleted here of what they have, and what the creations are called of what they deleted. */
async function endingsOf(
  { births }: Store,
  repoId: string,
  asked: { names: readonly string[]; mine: RefList; received: Received },
): Promise<{ here: ReadonlyMap<string, Deletion>; births: ReadonlyMap<string, string> }> {
  const { names, mine, received } = asked;
  const absent = mine.size === 0 ? [] : names.filter((ref) => !mine.has(ref));
  const ended = names.filter((ref) => mine.has(ref) && received.deleted.has(ref));
  return {
    here: await births.deletions(repoId, absent),
    births: await births.of(repoId, ended),
  };
}

interface Back extends Pick<Planned, 'mine' | 'steps' | 'relations'> {
  readonly base: Base | undefined;
  readonly received: Received;
  readonly toldAt: ToldAt | undefined;
}

/**
 * Whether a main that was restored from an older copy of itself would set a ref back to what it was by then: its mirror
 * may be all that still has what came since (replication.md, section 8, a database restored old).
 */
async function setsBack(
  { history }: Store,
  repoId: string,
  { base, toldAt, received, mine, steps, relations }: Back,
): Promise<boolean> {
  const [before, now] = [base?.toldAt, toldAt];
  if (before === undefined || now === undefined) return false;
  if (before.epoch === now.epoch && before.seq <= now.seq) return false;
  for (const [ref, step] of steps) {
    if (!('forced' in step && step.forced) || !mine.has(ref)) continue;
    if (relations.get(ref) === 'behind') return true;
    if (await history.had(repoId, ref, received.refs.get(ref) ?? nullOid)) return true;
  }
  return false;
}
