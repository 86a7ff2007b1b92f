import { nullOid } from '../../model/ref.ts';
import { type RefList, refsDigest } from '../../model/sync-refs.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Store } from '../../store/store.ts';
import type { Base, Pair } from '../../store/syncs.ts';
import type { Core } from '../core.ts';
import { tooBig } from '../room.ts';
import { carry } from './carry.ts';
import { agreeOnAll, endConflicts } from './conflicts.ts';
import { marked } from './marked.ts';
import { isOwed, newsFor, type RefNews } from './mirror.ts';
import { Outdated, untilCurrent } from './outdated.ts';
import { type Answers, factsOf } from './protocol.ts';
import { pullRepo } from './pull.ts';
import type { Remote } from './remote.ts';
import {
  counted,
  type Outcome,
  quiet,
  type RunOptions,
  type RunReport,
  refuseWrongWay,
} from './run.ts';
import { manifestBytes, visibleRefs, writeSnapshot } from './snapshot.ts';
import { keepStuck } from './stuck.ts';

/**
 * Sends a repository to another server (replication.md, section 2, Push). A run whose answer was lost is repeated
 * safely: all of it is found done already.
 */
export async function pushRepo(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & RunOptions,
): Promise<RunReport> {
  const about = { remote, repo, direction: 'out', options } as const;
  await refuseWrongWay(core, remote, repo, 'in');
  const key = { serverId: remote.server.id, repoId: repo.id, direction: 'out' } as const;
  return marked(core, { ...key, name: repo.fullName, by: options.by }, () =>
    counted(core, about, () =>
      untilCurrent(options.signal, () => send(core, remote, { repo, ...options })),
    ),
  );
}

interface Sending {
  readonly refs: RefList;
  /** Of the refs; undefined where they are others than were told of. */
  readonly digest: string | undefined;
  /** The receiver's refs. */
  readonly theirs: RefList;
  /** What was agreed: the receiver's values that are kept here. */
  readonly base: Base | undefined;
  readonly offer: Answers['offer'];
  readonly decided: RefList;
  readonly news: RefNews;
  /** Lets go of the repository. */
  release(): void;
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}

async function send(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & RunOptions,
): Promise<Outcome> {
  const { store, repos } = core;
  const pair = { serverId: remote.server.id, repoId: repo.id };
  const release = once(await repos.hold(repo, options.signal));
  try {
    const base = await store.syncs.base(pair);
    const sum = await store.digests.of(repo.id);
    const before = await visibleRefs(repos.directory(repo));
    const digest = refsDigest(before);
    const { dryRun } = options.by;
    const known = base?.digest ?? null;
    const offer = await remote.ask('offer', { repo: factsOf(repo), digest, known, dryRun });
    // What it says of the base is newer than what was read before: a list must not be older than that.
    const isStill = sum === (await store.digests.of(repo.id));
    const refs = isStill ? before : await visibleRefs(repos.directory(repo));
    const theirs = new Map(offer.refs ?? (offer.digest === digest ? before : base?.refs));
    const decided = await store.conflicts.decided(pair);
    if (remote.server.role === 'backup') {
      await store.serverLinks.link(remote.server, repo, {}, options.by);
    }
    if (offer.digest === digest) {
      await agreeOnAll(core, { server: remote.server, repo, by: options.by }, before);
      return { ...quiet, result: offer.created ? 'created' : 'up-to-date' };
    }
    const news = await newsFor(store, repo.id, { refs, known: theirs, to: remote.server });
    // It took all of this before; what it still has otherwise is its own.
    const isKnown = offer.base === digest && decided.size === 0 && !isOwed(news, theirs);
    if (isKnown) {
      // It made ready for what does not come, and would wait for it when it is to end.
      if (offer.token !== null) await remote.ask('done', { token: offer.token, digest });
      const about = { server: remote.server, repo, by: options.by };
      const stuck = dryRun || !isStill ? 0 : await keepStuck(core, about, { refs, theirs, base });
      return { ...quiet, result: stuck > 0 ? 'conflict' : 'up-to-date', conflicted: stuck };
    }
    if (dryRun || offer.token === null) return rehearse(refs, theirs, offer);
    return await deliver(
      core,
      remote,
      { repo, ...options },
      {
        ...{ refs, digest: isStill ? digest : undefined, theirs },
        ...{ base, offer, decided, news, release },
      },
    );
  } finally {
    release();
  }
}

/** What would go, as far as it can be told from here. */
function rehearse(refs: RefList, theirs: RefList, { created }: Answers['offer']): Outcome {
  const differing = [...refs].filter(([ref, oid]) => theirs.get(ref) !== oid).length;
  return { ...quiet, result: created ? 'created' : 'updated', updated: differing };
}

async function deliver(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & RunOptions,
  { refs, digest, theirs, base, offer, decided, news, release }: Sending,
): Promise<Outcome> {
  const { store, repos, git, syncSessions } = core;
  const token = offer.token ?? '';
  const session = await syncSessions.open({
    ...{ serverId: remote.server.id, repoId: repo.id, direction: 'out' },
  });
  try {
    const manifest = await writeSnapshot(git, repos.directory(repo), {
      refs,
      digest,
      theirs,
      ...news,
      from: base !== undefined && base.digest === offer.base ? base : undefined,
      folder: session.directory,
      signal: options.signal,
    });
    // What is to go lies in the session now: nobody waits for the network because of it.
    release();
    const total = manifestBytes(manifest);
    if (total > (offer.room ?? total)) {
      throw tooBig(total, offer.room ?? 0, `on ${remote.server.name}`);
    }
    const files = { directory: session.directory, token, direction: 'push', total } as const;
    const carried = await carry(core, remote, { ...files, theirs: offer.rsync, ...options });
    const moved = await movedFrom(core, remote, { repo, refs, theirs, base });
    const answer = await remote.ask('commit', {
      ...{ token, decided: [...moved, ...decided], toldAt: news.toldAt },
    });
    const notes = answer.rejected.map(([ref, why]) => `${ref}: ${why}`);
    if (answer.outdated) throw new Outdated();
    if (answer.held) {
      const why = `held on ${remote.server.name}: much would be deleted or forced there, or set back to an older copy; it is allowed there, by: servers sync NAME --allow-shrink`;
      return { ...quiet, result: 'held', total, carried, notes: [why] };
    }
    const pair = { serverId: remote.server.id, repoId: repo.id };
    const agreed = agreedAfter({ refs, theirs, base }, answer);
    await agreeOnMoved(store.syncs, pair, { base, agreed });
    const { server } = remote;
    const isAlike = (ref: string) =>
      answer.applied.includes(ref) || refs.get(ref) === theirs.get(ref);
    await endConflicts(core, { server, repo, by: options.by }, { refs, isAlike });
    // A decision over a value that is not theirs any more decides nothing.
    const isOver = ([ref, over]: readonly [string, string]) =>
      answer.applied.includes(ref) || (theirs.get(ref) ?? nullOid) !== over;
    await store.conflicts.told(
      pair,
      [...decided].filter(isOver).map(([ref]) => ref),
    );
    const numbers = { updated: answer.applied.length, conflicted: answer.conflicts.length };
    if (numbers.conflicted > 0) await fetchConflicts(core, remote, { repo, ...options }, answer);
    const did = numbers.updated > 0 ? 'updated' : 'up-to-date';
    const result = numbers.conflicted > 0 ? 'conflict' : offer.created ? 'created' : did;
    return { result, ...numbers, total, carried, notes };
  } finally {
    await syncSessions.close(session);
  }
}

/**
 * The branches that were moved here from the value that the receiver still has. It may not know that this side had it,
 * for the end of a pull may be lost, and would wait for what it has to be taken here.
 */
async function movedFrom(
  { store }: Core,
  { server }: Remote,
  { repo, refs, theirs, base }: Pick<Sending, 'refs' | 'theirs' | 'base'> & { repo: Repository },
): Promise<RefList> {
  if (server.role !== 'dev' && server.role !== 'neighbor') return new Map();
  const open = (await store.conflicts.open(repo.id)).filter((each) => each.serverId === server.id);
  const disputed = new Set(open.map(({ ref }) => ref));
  const moved = [...theirs].filter(([ref, value]) => {
    const own = refs.get(ref);
    const isMoved = own !== undefined && own !== value && base?.refs.get(ref) === value;
    return isMoved && !ref.startsWith('refs/tags/') && !disputed.has(ref);
  });
  return new Map(moved);
}

/** The receiver's values that are kept here: those it took from here, those that are equal, and those agreed before. */
function agreedAfter(
  { refs, theirs, base }: Pick<Sending, 'refs' | 'theirs' | 'base'>,
  { applied }: Answers['commit'],
): RefList {
  const taken = new Set(applied);
  const agreed = new Map<string, string>();
  const note = (ref: string, mine: string | undefined) => {
    const same = mine === theirs.get(ref) || taken.has(ref);
    const value = same ? mine : base?.refs.get(ref);
    if (value !== undefined) agreed.set(ref, value);
  };
  for (const [ref, mine] of refs) note(ref, mine);
  for (const ref of theirs.keys()) if (!refs.has(ref)) note(ref, undefined);
  return agreed;
}

/**
 * Notes what was agreed by this run. Where another one has noted something since it began, that stays, but for the refs
 * that this one alone has moved.
 */
async function agreeOnMoved(
  syncs: Store['syncs'],
  pair: Pair,
  { base, agreed }: { base: Base | undefined; agreed: RefList },
): Promise<void> {
  let [before, list] = [base, agreed];
  while (!(await syncs.agreeAfter(before?.digest, pair, list))) {
    before = await syncs.base(pair);
    const merged = new Map(before?.refs);
    for (const ref of new Set([...agreed.keys(), ...(base?.refs.keys() ?? [])])) {
      const [was, now] = [base?.refs.get(ref), agreed.get(ref)];
      if (was === now || merged.get(ref) !== was) continue;
      if (now === undefined) merged.delete(ref);
      else merged.set(ref, now);
    }
    list = merged;
  }
}

/** A conflict is kept on both sides: what the other has is fetched, of these refs alone. */
async function fetchConflicts(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & RunOptions,
  { conflicts }: Answers['commit'],
): Promise<void> {
  await pullRepo(core, remote, { repo, ...options, only: new Set(conflicts) });
}
