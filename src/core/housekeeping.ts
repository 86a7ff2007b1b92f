import { join } from 'node:path';
import type { Config } from '../config.ts';
import { UserError } from '../model/errors.ts';
import { endPrepared, mayEnd, type Prepared, prepareEnd, setApart } from '../programs/cruft.ts';
import type { Git } from '../programs/git.ts';
import { allRefs } from '../programs/refs.ts';
import { closeScratch, openScratch } from '../programs/scratch.ts';
import { isUntidy, type Stock, takeStock, tidy } from '../programs/tidy.ts';
import type { Watch } from '../programs/watched.ts';
import type { Actor } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { UntidyRepository } from '../store/upkeep.ts';
import { expireTips, whenFree } from './expiry.ts';
import type { Locks } from './locks.ts';
import type { Repos } from './repos.ts';
import type { Sizes } from './sizes.ts';

interface HousekeepingParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
  readonly locks: Locks;
  readonly sizes: Sizes;
  readonly dataDir: string;
  live(): Config['values'];
  /** Epoch milliseconds; the machine's unless given. */
  now?(): number;
}

/** What maintenance did to a repository. */
export interface Maintained {
  readonly before: Stock;
  readonly after: Stock;
  /** Archived tips that were kept for long enough and that nothing leads to any more. */
  readonly expiredTips: number;
  /** Objects that nothing had led to for long enough, and whose space was given back. */
  readonly prunedObjects: number;
}

/** The lock of whoever packs: one at a time on this machine. */
const packing = 'housekeeping';

/** A repository that was pushed to less than so long ago is left alone, unless much has changed in it. */
const idleMs = 5000;
const manyChanges = 100;
/** One that rests for longer is packed for less: what pushes leave costs every reader of it a little. */
const restMs = 60_000;
const someChanges = 20;
const tooManyChanges = 1000;
/** One that never rests is packed for many changes, too: for a twentieth of the time, unless they are too many. */
const pausePerTook = 20;
const mostAtOnce = 200;

/** One that changes is packed anew as a whole so often. */
const wholeMs = 7 * 24 * 3600 * 1000;

/** So long nothing must have led to an object before it goes; shorter where `archive.keep` is. */
const graceMs = 14 * 24 * 3600 * 1000;

/** So long objects that are to go wait for a moment in which nobody uses the repository. */
const freeForObjectsMs = 30_000;

/** And after so long it is tried again. */
const againMs = 6 * 3600 * 1000;

/** Maintenance of repositories while they are in use: it packs, and lets go what was kept for long enough. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  /** By id, how many changes a repository had, of how many, when it was last looked at. */
  readonly #looked = new Map<string, string>();
  /** By id, until when a repository that never rests is left alone, by `performance.now()`. */
  readonly #pauses = new Map<string, number>();
  #running: string | undefined;
  #last: { readonly repo: string; readonly at: string } | undefined;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  /** The repository that is being packed, and the last one that was. */
  get state() {
    return { running: this.#running, last: this.#last };
  }

  /**
   * Packs a repository, one at a time on this machine; who wants to move or delete it is given way to. A mirror keeps all
   * that its main had, for whatever time it is told to, until it is to let that go too.
   *
   * @param how - `pruneArchive`: whether a mirror lets go what was kept for long enough, as any other repository
   * @throws UserError `unavailable` when it gave way
   */
  async maintain(
    repo: Repository,
    by: Actor,
    { pruneArchive = false, ...watching }: Watch & { readonly pruneArchive?: boolean },
  ): Promise<Maintained> {
    const { repos, locks, sizes } = this.#parts;
    const leave = await locks.alone(packing, watching.signal);
    this.#running = repo.fullName;
    try {
      const before = await this.#pack(repo, by.dryRun, watching);
      const keeps = !pruneArchive && (await this.#isMirror(repo));
      const expiredTips = keeps ? 0 : await this.#expire(repo, by, watching.signal);
      const prunes = !by.dryRun && (!keeps || (await this.#isPruneDue(repo)));
      const prunedObjects = prunes ? await this.#prune(repo, watching) : 0;
      const directory = repos.directory(repo);
      const after = await takeStock(directory);
      sizes.changed(repo, directory);
      this.#last = { repo: repo.fullName, at: new Date().toISOString() };
      return { before, after, expiredTips, prunedObjects };
    } finally {
      this.#running = undefined;
      leave();
    }
  }

  async #isMirror({ id }: Repository): Promise<boolean> {
    return (await this.#parts.store.serverLinks.mainOf(id)) !== undefined;
  }

  /** Whether objects may have come to their end since tips that led to them were let go. */
  async #isPruneDue({ id }: Repository): Promise<boolean> {
    const pruneAt = (await this.#parts.store.upkeep.tidiness(id))?.pruneAt;
    return pruneAt != null && pruneAt <= iso(this.#now());
  }

  async #expire(repo: Repository, by: Actor, signal: AbortSignal): Promise<number> {
    const before = this.#expiresBefore();
    return before === undefined ? 0 : expireTips(this.#parts, repo, { before, by, signal });
  }

  /** Works on a repository that others use too, until somebody wants it alone. */
  async #beside<T>(
    repo: Repository,
    watching: Watch,
    work: (watching: Watch) => Promise<T>,
  ): Promise<T> {
    const wanted = new AbortController();
    const release = await this.#parts.repos.holdUntilWanted(repo, watching.signal, () =>
      wanted.abort(gaveWay(repo.fullName)),
    );
    try {
      const signal = AbortSignal.any([watching.signal, wanted.signal]);
      return await work({ ...watching, signal });
    } finally {
      release();
    }
  }

  /** @returns what there was before */
  async #pack(repo: Repository, isDryRun: boolean, watching: Watch): Promise<Stock> {
    const { store, repos, git } = this.#parts;
    return this.#beside(repo, watching, async (beside) => {
      const directory = repos.directory(repo);
      const before = await takeStock(directory);
      if (isDryRun) return before;
      const seen = (await store.upkeep.tidiness(repo.id))?.untidy ?? 0;
      const begunMs = performance.now();
      await tidy(git, directory, beside);
      const endedMs = performance.now();
      this.#pauses.set(repo.id, endedMs + (endedMs - begunMs) * pausePerTook);
      await store.upkeep.tidied(repo.id, seen);
      this.#looked.delete(repo.id);
      return before;
    });
  }

  /**
   * Gives back the space of objects that nothing has led to for long enough. They are set apart while the repository is
   * in use, which takes long; that they still may go is found out, and they go, in a moment in which nobody uses it: a
   * push might have brought a ref to one of them meanwhile.
   *
   * @returns how many
   */
  async #prune(repo: Repository, watching: Watch): Promise<number> {
    const { store, repos, git, dataDir } = this.#parts;
    const now = this.#now();
    const { repackedAt } = (await store.upkeep.tidiness(repo.id)) ?? {};
    const isYoung = repackedAt != null && repackedAt > iso(now - wholeMs);
    if (isYoung && !(await this.#isPruneDue(repo))) return 0;
    const directory = repos.directory(repo);
    const { signal } = watching;
    const scratch = await openScratch(join(dataDir, 'incoming'), { directory, signal });
    try {
      const keptMs = Math.min(graceMs, this.#parts.live()['archive.keep']);
      const { known, prepared } = await this.#beside(repo, watching, async (beside) => {
        const refs = await allRefs(directory);
        await setApart(git, directory, { ...beside, nowMs: now });
        const place = { ...scratch, signal: beside.signal };
        return { known: refs, prepared: await prepareEnd(git, place, now - keptMs) };
      });
      const isDone = prepared.objects === 0 || (await this.#end(repo, prepared, { known, signal }));
      const { oldestMs } = prepared;
      const nextMs = oldestMs === undefined ? undefined : oldestMs + keptMs;
      const again = isDone ? nextMs : now + againMs;
      await store.upkeep.repacked(repo.id, iso(now), again === undefined ? undefined : iso(again));
      if (prepared.objects === 0 || !isDone) return 0;
      // The index over all packs went with them.
      await this.#pack(repo, false, watching);
      return prepared.objects;
    } finally {
      await closeScratch(scratch);
    }
  }

  /** Ends objects, if nothing leads to them by now. @returns whether it did */
  async #end(
    repo: Repository,
    prepared: Prepared,
    { known, signal }: { known: readonly { readonly oid: string }[]; signal: AbortSignal },
  ): Promise<boolean> {
    const { repos, git } = this.#parts;
    const release = await whenFree(repos, repo, { signal, waitMs: freeForObjectsMs });
    if (release === undefined) return false;
    try {
      const directory = repos.directory(repo);
      const before = new Set(known.map(({ oid }) => oid));
      const refs = await allRefs(directory);
      const tips = refs.map(({ oid }) => oid).filter((oid) => !before.has(oid));
      if (!(await mayEnd(git, directory, prepared, { tips, known: [...before] }))) return false;
      await endPrepared(directory, prepared);
      return true;
    } finally {
      release();
    }
  }

  #now(): number {
    return this.#parts.now?.() ?? Date.now();
  }

  #expiresBefore(): string | undefined {
    const keepMs = this.#parts.live()['archive.keep'];
    if (keepMs === Number.POSITIVE_INFINITY) return undefined;
    return iso(this.#now() - keepMs);
  }

  /** Full names of repositories that need packing now and are at rest; each is named once for what changed in it. */
  async due(): Promise<readonly string[]> {
    const { store, repos } = this.#parts;
    const due: string[] = [];
    for (const repo of await store.upkeep.untidy(mostAtOnce)) {
      const idleForMs = Date.now() - Date.parse(repo.updatedAt);
      if (idleForMs < idleMs && !this.#isDueAtWork(repo)) continue;
      const enough = idleForMs < restMs ? manyChanges : someChanges;
      const look = `${repo.untidy} of ${enough}`;
      if (this.#looked.get(repo.id) === look) continue;
      this.#looked.set(repo.id, look);
      if (repo.untidy >= enough || isUntidy(await takeStock(repos.directory(repo)))) {
        due.push(repo.fullName);
      }
    }
    return due;
  }

  /** Whether one that is being pushed to needs packing all the same. */
  #isDueAtWork({ id, untidy }: UntidyRepository): boolean {
    if (untidy >= tooManyChanges) return true;
    return untidy >= manyChanges && performance.now() >= (this.#pauses.get(id) ?? 0);
  }

  /** Full names of repositories with archived tips, or objects, whose time is over. */
  async expiring(): Promise<readonly string[]> {
    const { store } = this.#parts;
    const before = this.#expiresBefore();
    const ids = before === undefined ? [] : await store.upkeep.withTipsBefore(before, mostAtOnce);
    const repos = await Promise.all(ids.map((id) => store.repositories.byId(id)));
    const toPrune = await store.upkeep.toPrune(iso(this.#now()), mostAtOnce);
    const due = [...repos, ...toPrune].flatMap((repo) => repo?.fullName ?? []);
    return [...new Set(due)];
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function gaveWay(fullName: string): UserError {
  return new UserError('unavailable', `${fullName}: its maintenance gave way to a change of it`, {
    hint: 'try again afterwards',
  });
}
