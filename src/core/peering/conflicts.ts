import { nullOid } from '../../model/ref.ts';
import type { ConflictKind, RefStep, Relation } from '../../model/sync-plan.ts';
import { type RefList, refsDigest } from '../../model/sync-refs.ts';
import { relationOf } from '../../programs/pack.ts';
import { archiveTips, keepRefs, notReachable } from '../../programs/tips.ts';
import { type Conflict, newConflictId } from '../../store/conflicts.ts';
import type { Core } from '../core.ts';
import type { Admission } from './admit.ts';

interface Found {
  readonly conflicting: readonly { readonly ref: string; readonly kind: ConflictKind }[];
  readonly mine: RefList;
  readonly theirs: RefList;
}

/** Where both values of a conflict stay until a person decides; never advertised. */
export function conflictRef({ server, id }: Pick<Conflict, 'server' | 'id'>, side: string): string {
  return `refs/cpm/conflicts/${server}/${id}/${side}`;
}

/** Keeps both values of each ref that moved on both sides, durably, and tells of it. */
export async function keepConflicts(
  core: Core,
  { server, repo, by, recalled = false }: Pick<Admission, 'server' | 'repo' | 'by' | 'recalled'>,
  { conflicting, mine, theirs }: Found,
): Promise<void> {
  if (conflicting.length === 0) return;
  const { store, git, repos } = core;
  const open = await store.conflicts.open(repo.id);
  const base = await store.syncs.base({ serverId: server.id, repoId: repo.id });
  for (const { ref, kind } of conflicting) {
    const held = open.find((each) => each.serverId === server.id && each.ref === ref);
    const id = held?.id ?? newConflictId();
    const sides = {
      ours: mine.get(ref) ?? nullOid,
      theirs: theirs.get(ref) ?? nullOid,
      base: held?.base ?? base?.refs.get(ref) ?? nullOid,
    };
    if (held !== undefined) await keepReplaced(core, { repo, by }, { held, theirs: sides.theirs });
    const kept = Object.entries(sides).filter(([side, oid]) => oid !== nullOid && side !== 'base');
    await keepRefs(
      git,
      repos.directory(repo),
      kept.map(([side, oid]) => ({ ref: conflictRef({ server: server.name, id }, side), oid })),
    );
    const values = { local: sides.ours, remote: sides.theirs, base: sides.base };
    const about = { repoId: repo.id, serverId: server.id, server: server.name, ref, kind };
    await store.conflicts.put({ id, ...about, ...values, recalled }, by);
  }
}

/** A newer value of theirs takes the older one's place; one that it does not lead to is archived. */
async function keepReplaced(
  { store, git, repos }: Core,
  { repo, by }: Pick<Admission, 'repo' | 'by'>,
  { held, theirs }: { held: Conflict; theirs: string },
): Promise<void> {
  const directory = repos.directory(repo);
  const lost = await notReachable(git, directory, { olds: [held.remote], news: [theirs] });
  if (lost.length === 0) return;
  await archiveTips(git, directory, lost);
  const archived = lost.map((oid) => ({ ref: held.ref, oid }));
  await store.pushes.settle(repo.id, 'sync', { done: [], archived }, by);
}

interface Settled {
  readonly planned: ReadonlyMap<string, RefStep>;
  readonly relations: ReadonlyMap<string, Relation>;
  readonly refs: RefList;
  readonly theirs: RefList;
}

/** Ends the conflicts that are none any more: both sides have one value, or a branch moved on to one that has both. */
export async function settleConflicts(
  core: Core,
  { server, repo, by, only }: Admission,
  { planned, relations, refs, theirs }: Settled,
): Promise<void> {
  const { store } = core;
  const open = await store.conflicts.open(repo.id);
  for (const conflict of open.filter((each) => each.serverId === server.id)) {
    const { ref } = conflict;
    if (conflict.recalled && !(await isJoined(core, repo, { conflict, mine: refs.get(ref) }))) {
      continue;
    }
    if (only !== undefined && !only.has(ref)) continue;
    // A tag that moved is another tag, and a branch that was set back joins nothing.
    const isBranch = !ref.startsWith('refs/tags/');
    const mine = refs.get(ref);
    const joined = isBranch && relations.get(ref) === 'behind' && mine !== conflict.local;
    const taken = planned.get(ref)?.step === 'take' || planned.get(ref)?.step === 'delete';
    const same = mine === theirs.get(ref);
    if (joined || taken || same) await store.conflicts.end(conflict, undefined, by);
  }
}

/**
 * Two servers have the same refs: that is agreed, and no conflict between them is left.
 *
 * @param refs - what both have
 */
export async function agreeOnAll(
  core: Pick<Core, 'store' | 'git' | 'repos'>,
  { server, repo, by }: Pick<Admission, 'server' | 'repo' | 'by'>,
  refs: RefList,
): Promise<void> {
  if (by.dryRun) return;
  const { store } = core;
  const pair = { serverId: server.id, repoId: repo.id };
  const base = await store.syncs.base(pair);
  if (base?.digest !== refsDigest(refs)) await store.syncs.agree(pair, refs);
  // What was decided over a value that is nobody's any more decides nothing.
  await store.conflicts.told(pair, [...(await store.conflicts.decided(pair)).keys()]);
  await endConflicts(core, { server, repo, by }, { refs, isAlike: () => true });
}

/** Ends the conflicts with a server over refs that both have alike now. */
export async function endConflicts(
  core: Pick<Core, 'store' | 'git' | 'repos'>,
  { server, repo, by }: Pick<Admission, 'server' | 'repo' | 'by'>,
  { refs, isAlike }: { readonly refs: RefList; readonly isAlike: (ref: string) => boolean },
): Promise<void> {
  const { store } = core;
  const open = await store.conflicts.open(repo.id);
  for (const conflict of open) {
    if (conflict.serverId !== server.id || !isAlike(conflict.ref)) continue;
    const mine = refs.get(conflict.ref);
    if (conflict.recalled && !(await isJoined(core, repo, { conflict, mine }))) continue;
    await store.conflicts.end(conflict, undefined, by);
  }
}

/**
 * Whether somebody brought in what a server had alone that led before. That it has given it up since, as the backup that
 * it is by then, says nothing: it waits for a person.
 */
async function isJoined(
  { git, repos }: Pick<Core, 'git' | 'repos'>,
  repo: Admission['repo'],
  { conflict, mine }: { conflict: Conflict; mine: string | undefined },
): Promise<boolean> {
  const { remote } = conflict;
  if (mine === undefined || remote === nullOid) return false;
  const asked = { mine, theirs: remote, scratch: undefined };
  const lies = await relationOf(git, repos.directory(repo), asked);
  return lies === 'same' || lies === 'behind';
}
