import type { Config } from '../config.ts';
import { UserError } from '../model/errors.ts';
import { nullOid } from '../model/ref.ts';
import type { Git } from '../programs/git.ts';
import { allRefs, readRefsOf } from '../programs/refs.ts';
import { isUntidy, type Stock, takeStock, tidy } from '../programs/tidy.ts';
import { archivePrefix, notReachable, updateRefs } from '../programs/tips.ts';
import type { Watch } from '../programs/watched.ts';
import type { Actor } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Locks } from './locks.ts';
import type { Repos } from './repos.ts';
import type { Sizes } from './sizes.ts';

interface HousekeepingParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
  readonly locks: Locks;
  readonly sizes: Sizes;
  live(): Config['values'];
}

/** What maintenance did to a repository. */
export interface Maintained {
  readonly before: Stock;
  readonly after: Stock;
  /** Archived tips that were kept for long enough and that nothing leads to any more. */
  readonly expiredTips: number;
}

/** The lock of whoever packs: one at a time on this machine. */
const packing = 'housekeeping';

/** A repository that was pushed to less than so long ago is left alone, unless it has waited for long. */
const idleMs = 5000;
const manyChanges = 100;
const tooManyChanges = 1000;
const mostAtOnce = 200;
const mostTips = 1000;

/** Maintenance of repositories while they are in use: it packs, and lets archived tips go whose time is over. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  /** By id, how many changes a repository had when it was last looked at. */
  readonly #looked = new Map<string, number>();
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
   * Packs a repository, one at a time on this machine; who wants to move or delete it is given way to.
   *
   * @throws UserError `unavailable` when it gave way
   */
  async maintain(repo: Repository, by: Actor, watching: Watch): Promise<Maintained> {
    const { store, repos, git, locks, sizes } = this.#parts;
    const leave = await locks.alone(packing, watching.signal);
    this.#running = repo.fullName;
    try {
      const directory = repos.directory(repo);
      const wanted = new AbortController();
      const release = await repos.holdUntilWanted(repo, watching.signal, () =>
        wanted.abort(gaveWay(repo.fullName)),
      );
      let before: Stock;
      try {
        before = await takeStock(directory);
        const seen = (await store.upkeep.tidiness(repo.id))?.untidy ?? 0;
        if (!by.dryRun) {
          const signal = AbortSignal.any([watching.signal, wanted.signal]);
          await tidy(git, directory, { ...watching, signal });
          await store.upkeep.tidied(repo.id, seen, { repacked: false });
        }
      } finally {
        release();
      }
      const expiredTips = await this.#expire(repo, by);
      const after = await takeStock(directory);
      sizes.changed(repo, directory);
      this.#last = { repo: repo.fullName, at: new Date().toISOString() };
      return { before, after, expiredTips };
    } finally {
      this.#running = undefined;
      leave();
    }
  }

  /**
   * Lets archived tips go that are older than `archive.keep` and that no ref leads to. Only while nobody else uses the
   * repository: a push might archive one of them again in between.
   *
   * @returns how many; 0 when somebody uses it
   */
  async #expire(repo: Repository, by: Actor): Promise<number> {
    const { store, repos, git, locks } = this.#parts;
    const before = this.#expiresBefore();
    if (before === undefined) return 0;
    const oids = await store.upkeep.tipsBefore(repo.id, before, mostTips);
    if (oids.length === 0) return 0;
    const release = locks.tryExclusive(repo.id);
    if (release === undefined) return 0;
    try {
      const directory = repos.directory(repo);
      const live = (await allRefs(directory)).filter(({ name }) => !name.startsWith(archivePrefix));
      const news = live.map(({ oid }) => oid);
      const lost = await notReachable(git, directory, { olds: oids, news });
      if (by.dryRun || lost.length === 0) return lost.length;
      const refs = lost.map((oid) => `${archivePrefix}${oid}`);
      const there = await readRefsOf(directory, refs);
      const commands = [...there].flatMap(([ref, { oid }]) =>
        oid === undefined ? [] : [{ ref, old: oid, new: nullOid }],
      );
      await updateRefs(git, directory, commands);
      await store.upkeep.dropTips(repo, lost, { before, by });
      return lost.length;
    } finally {
      release();
    }
  }

  #expiresBefore(): string | undefined {
    const keepMs = this.#parts.live()['archive.keep'];
    if (keepMs === Number.POSITIVE_INFINITY) return undefined;
    return new Date(Date.now() - keepMs).toISOString();
  }

  /** Full names of repositories that need packing now and are at rest; each is named once for what changed in it. */
  async due(): Promise<readonly string[]> {
    const { store, repos } = this.#parts;
    const due: string[] = [];
    for (const repo of await store.upkeep.untidy(mostAtOnce)) {
      const isIdle = Date.parse(repo.updatedAt) < Date.now() - idleMs;
      if (!isIdle && repo.untidy < tooManyChanges) continue;
      if (this.#looked.get(repo.id) === repo.untidy) continue;
      this.#looked.set(repo.id, repo.untidy);
      if (repo.untidy >= manyChanges || isUntidy(await takeStock(repos.directory(repo)))) {
        due.push(repo.fullName);
      }
    }
    return due;
  }

  /** Full names of repositories with archived tips whose time is over. */
  async expiring(): Promise<readonly string[]> {
    const { store } = this.#parts;
    const before = this.#expiresBefore();
    if (before === undefined) return [];
    const ids = await store.upkeep.withTipsBefore(before, { after: '', limit: mostTips });
    const repos = await Promise.all(ids.map((id) => store.repositories.byId(id)));
    return repos.flatMap((repo) => repo?.fullName ?? []);
  }
}

function gaveWay(fullName: string): UserError {
  return new UserError('unavailable', `${fullName}: its maintenance gave way to a change of it`, {
    hint: 'try again afterwards',
  });
}
