import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import { nullOid } from '../../model/ref.ts';
import { differing, type RefList } from '../../model/sync-refs.ts';
import { admitObjects } from '../../programs/admit.ts';
import { checkConnected, indexPack, type NewCommits, removeScratch } from '../../programs/pack.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import { waysOf } from '../../store/server-links.ts';
import type { Server } from '../../store/servers.ts';
import type { Base, ToldAt } from '../../store/syncs.ts';
import type { Core } from '../core.ts';
import { changeRefs, notDone } from '../ref-change.ts';
import { keepConflicts, settleConflicts } from './conflicts.ts';
import { corrupt, type Received, readInbox } from './inbox.ts';
import { Outdated } from './outdated.ts';
import { blockedOf, type Planned, plan, rehearsed } from './plan.ts';
import { visibleRefs } from './snapshot.ts';

/** What is to be brought into a repository here, from a session directory. */
export interface Admission {
  readonly server: Server;
  readonly repo: Repository;
  /** Whose deed it is: the other server. */
  readonly principal: Principal;
  readonly by: Actor;
  readonly folder: string;
  /** The digest of what was agreed with the other server before it read the list that it sent. */
  readonly agreed: string | undefined;
  /** Refs on whose value a person decided over there, with our value that was decided over. */
  readonly decided: RefList;
  /** Where the other's log ended when it read its list, as it says. */
  readonly toldAt?: ToldAt | undefined;
  /** Only these refs, which the other server found in conflict; all of them, without. */
  readonly only?: ReadonlySet<string> | undefined;
  readonly allowShrink: boolean;
  /** It is what a server that led before this one may have alone. */
  readonly recalled?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** What became of one ref. */
export interface RefOutcome {
  readonly ref: string;
  readonly outcome: 'applied' | 'conflict' | 'rejected';
  readonly why?: string;
}

export interface Admitted {
  /** Nothing was done: too much would have been deleted or forced. */
  readonly held: boolean;
  readonly outcomes: readonly RefOutcome[];
  /** The refs here, afterwards. */
  readonly refs: RefList;
  /** Those that are not here as they were sent, and those that were not sent; undefined where nothing was done. */
  readonly otherwise?: readonly string[];
}

/** As often as pushes may come between the plan and its carrying out. */
const tries = 5;

/**
 * Admits what another server sent: checked, made durable, refs moved one by one by the three-way rule, conflicts kept,
 * and what was agreed written down. Doing it again changes nothing (replication.md, section 2, Admission).
 *
 * @throws UserError `corrupt` when it is not taken; nothing has changed then. Outdated where another run was agreed
 *   meanwhile
 */
export async function admit(core: Core, admission: Admission): Promise<Admitted> {
  const { repo, signal, server } = admission;
  const pair = { serverId: server.id, repoId: repo.id };
  // Before the base: a decision that the other server heard of meanwhile has changed that.
  const decisions = await core.store.conflicts.decided(pair);
  const base = await core.store.syncs.base(pair);
  if (base?.digest !== admission.agreed) throw new Outdated();
  const received = await readInbox(admission.folder, base);
  const release = await core.repos.hold(repo, signal);
  const scratch = join(core.config.dataDir, 'incoming', `sync-objects-${randomUUID()}`);
  try {
    await mkdir(join(scratch, 'pack'), { recursive: true, mode: 0o700 });
    const commits = await checkObjects(core, admission, { received, scratch });
    return await carryOut(core, admission, { received, base, decisions, scratch, commits });
  } finally {
    await received.pack?.close();
    await removeScratch(scratch);
    release();
  }
}

export interface Checked {
  readonly received: Received;
  /** What was agreed with the other server before. */
  readonly base: Base | undefined;
  /** Refs on whose value a person decided here, with the other server's value that was decided over. */
  readonly decisions: RefList;
  /** The object directory with what is new. */
  readonly scratch: string;
  /** Those of what came, where that was little. */
  readonly commits: NewCommits;
}

/** Bytes of a pack whose objects are told one by one without being felt, and the most commits that are. */
const littleBytes = 1024 * 1024;
const littleCommits = 10_000;

/** Checks what arrived, objects and tips, before anything of it is the repository's (admission A4, A5). */
export async function checkObjects(
  core: Core,
  { repo, signal }: Pick<Admission, 'repo' | 'signal'>,
  { received, scratch }: Pick<Checked, 'received' | 'scratch'>,
): Promise<NewCommits> {
  const directory = core.repos.directory(repo);
  const { pack, refs } = received;
  try {
    if (pack !== undefined) {
      await core.room.onDisk();
      await indexPack(core.git, directory, { pack, scratch, signal });
    }
    // What refs here lead to was checked when they were made.
    const held = new Set((await visibleRefs(directory)).values());
    const tips = [...new Set(refs.values())].filter((oid) => !held.has(oid));
    if (tips.length === 0) return new Map();
    const isLittle = pack !== undefined && (await pack.stat()).size <= littleBytes;
    const atMost = isLittle ? littleCommits : 0;
    return await checkConnected(core.git, directory, { tips, scratch, atMost, signal });
  } catch (cause) {
    throw refusedBy(cause, signal);
  }
}

/** What git did not take, in its own last words without paths of this machine. */
export function refusedBy(cause: unknown, signal: AbortSignal): unknown {
  if (cause instanceof UserError || signal.aborted) return cause;
  if (/No space left on device/.test(String(cause))) {
    return new UserError('unavailable', 'the disk is full: nothing was changed', {
      hint: 'ask the operator of this server for more space, then run it again',
      cause,
    });
  }
  return corrupt(lastWords(cause as Error), cause);
}

/** What git has against an object, else the last line of its words, without paths of this machine. */
export function lastWords({ message }: Error): string {
  const fault = /error: (object [0-9a-f]{40}: .*)$/m.exec(message)?.[1];
  const line = fault ?? message.split('\n').at(-1) ?? '';
  return line.replaceAll(/\/[^\s'"]*\//g, '').slice(0, 200);
}

async function carryOut(core: Core, admission: Admission, checked: Checked): Promise<Admitted> {
  const directory = core.repos.directory(admission.repo);
  let inPlace = false;
  for (let round = 1; ; round += 1) {
    const planned = await plan(core, admission, checked);
    if (planned.held) return { held: true, outcomes: [], refs: planned.mine };
    // In a dry run the objects stay where they are looked at, and nobody else sees them.
    if (admission.by.dryRun)
      return { held: false, outcomes: rehearsed(planned), refs: planned.mine };
    if (!inPlace) await admitObjects(checked.scratch, directory);
    inPlace = true;
    try {
      await noteBirths(core, admission, { planned, received: checked.received });
      const applied = await apply(core, admission, planned);
      return await record(core, admission, { ...checked, planned, applied });
    } catch (error) {
      const moved = error instanceof UserError && error.code === 'conflict';
      if (!moved || round === tries) throw error;
    }
  }
}

/** Before the refs move: a creation that history knows of is never without its name. */
async function noteBirths(
  { store }: Core,
  { repo }: Admission,
  { planned, received }: { planned: Planned; received: Received },
): Promise<void> {
  const taken = planned.commands.filter((command) => command.old === nullOid);
  const births = taken.flatMap(({ ref }) => {
    const birth = received.births.get(ref);
    return birth === undefined ? [] : [[ref, birth] as const];
  });
  await store.births.note(repo.id, { births: new Map(births), values: received.refs });
}

/** Moves the refs that no rule refuses. @returns per command, why not; undefined where it was done */
async function apply(
  core: Core,
  { repo, principal, by, signal, server }: Admission,
  { mine, commands, relations }: Pick<Planned, 'mine' | 'commands' | 'relations'>,
): Promise<ReadonlyMap<string, string | undefined>> {
  const link = await core.store.serverLinks.of(server.id, repo.id);
  const decidedThere = server.role === 'main' && link?.bornThere === true;
  const judged = decidedThere ? [] : await core.rules.judge({ repo, principal, commands });
  const refused = judged.map(({ refusal }) => refusal?.reason);
  const allowed = commands.filter((_, at) => refused[at] === undefined);
  const blocked = blockedOf(mine, allowed);
  const reasons = commands.map(({ ref }, at) => refused[at] ?? blocked.get(ref));
  const outcome = new Map(commands.map(({ ref }, at) => [ref, reasons[at]]));
  let taken = commands.filter((_, at) => reasons[at] === undefined);
  // A tag's own object is lost although what it leads to is not; a branch leads to nothing but commits.
  const ahead = [...relations].filter(
    ([ref, relation]) => relation === 'ahead' && ref.startsWith('refs/heads/'),
  );
  const forward = new Set(ahead.map(([ref]) => ref));
  const about = { repo, principal, by, signal, decidedThere, forward };
  const change = { ...about, action: 'sync', held: true } as const;
  // What the objects of one ref are refused for keeps nobody from the others.
  while (taken.length > 0) {
    const results = await changeRefs(core, { ...change, commands: taken });
    const refused = results.filter((each) => each.refused !== undefined);
    for (const { command, refused: why } of results) outcome.set(command.ref, why);
    const others = refused.filter((each) => each.refused === notDone).map(({ command }) => command);
    taken = refused.length === 0 || others.length === taken.length ? [] : others;
  }
  return outcome;
}

async function record(
  core: Core,
  admission: Admission,
  done: Checked & { planned: Planned; applied: ReadonlyMap<string, string | undefined> },
): Promise<Admitted> {
  const { server, repo } = admission;
  const { planned, applied, received } = done;
  const { steps, mine } = planned;
  const outcomes: RefOutcome[] = [];
  for (const [ref, why] of applied) {
    outcomes.push(
      why === undefined ? { ref, outcome: 'applied' } : { ref, outcome: 'rejected', why },
    );
  }
  const conflicting = [...steps].flatMap(([ref, one]) =>
    one.step === 'conflict' ? [{ ref, kind: one.kind }] : [],
  );
  await keepConflicts(core, admission, { conflicting, mine, theirs: received.refs });
  for (const { ref } of conflicting) outcomes.push({ ref, outcome: 'conflict' });
  const refs = await visibleRefs(core.repos.directory(repo));
  await settleConflicts(core, admission, {
    planned: steps,
    relations: planned.relations,
    refs,
    theirs: received.refs,
  });
  const pair = { serverId: server.id, repoId: repo.id };
  if ([...steps.values()].some(({ step }) => step === 'tell')) await markToTell(core, admission);
  const kept = agreed(admission, done);
  if (!(await core.store.syncs.agreeAfter(admission.agreed, pair, kept))) throw new Outdated();
  if (admission.toldAt !== undefined) await core.store.syncs.heard(pair, admission.toldAt);
  return { held: false, outcomes, refs, otherwise: differing(received.refs, refs) };
}

/** They have what was deleted here before it came there: nothing else would have them hear of it. */
async function markToTell({ store, couriers }: Core, { server, repo }: Admission): Promise<void> {
  const link = await store.serverLinks.of(server.id, repo.id);
  const isEqual = server.role === 'dev' || server.role === 'neighbor';
  if (!isEqual || !waysOf(link).includes('out')) return;
  const { seq } = await store.digests.place();
  const about = { serverId: server.id, repoId: repo.id, direction: 'out', seq } as const;
  await store.syncMarks.put([{ ...about, name: repo.fullName }]);
  couriers.tell();
}

/** Their values that are kept here now: all but those that a rule refused, and those not looked at. */
function agreed(
  { only }: Admission,
  { received, applied, base }: Checked & { applied: ReadonlyMap<string, string | undefined> },
): RefList {
  const kept = new Map(received.refs);
  const all = only === undefined ? [] : [...received.refs.keys(), ...(base?.refs.keys() ?? [])];
  const unseen = all.filter((ref) => only?.has(ref) === false);
  const refused = [...applied].flatMap(([ref, why]) => (why === undefined ? [] : [ref]));
  for (const ref of [...refused, ...unseen]) {
    const old = base?.refs.get(ref);
    if (old === undefined) kept.delete(ref);
    else kept.set(ref, old);
  }
  return kept;
}
