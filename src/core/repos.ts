import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../model/errors.ts';
import type { RepoName, Visibility } from '../model/repo.ts';
import { buildBare, idFile, placeBare, syncDirectory } from '../programs/bare.ts';
import { setHead } from '../programs/files.ts';
import { countRefs, readRef, readRefsOf } from '../programs/refs.ts';
import { type Actor, newId } from '../store/changes.ts';
import type { Namespace } from '../store/names.ts';
import type { Repository, RepositorySettings } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Locks } from './locks.ts';
import { holdNamespaces, movedMeanwhile } from './namespaces.ts';
import type { Room } from './room.ts';

export interface NewRepo {
  readonly namespace: Namespace;
  readonly name: string;
  readonly description?: string | undefined;
  readonly visibility?: Visibility | undefined;
  readonly defaultBranch?: string | undefined;
  /** Chosen by the caller, where it must know it beforehand. */
  readonly id?: string | undefined;
  /** A complete bare repository of that id on the same file system, to be put in place instead of an empty one. */
  readonly staged?: string | undefined;
  /** The repositories that the name may lead to so far, as it was decided. */
  readonly retakes?: readonly string[] | undefined;
}

/** Repositories: the row and the bare repository on disk, always together. */
export class Repos {
  readonly #store: Store;
  readonly #locks: Locks;
  readonly #dataDir: string;
  readonly #room: Room;

  constructor(store: Store, locks: Locks, { dataDir, room }: { dataDir: string; room: Room }) {
    this.#store = store;
    this.#locks = locks;
    this.#dataDir = dataDir;
    this.#room = room;
  }

  /** How many requests wait until others are through with a repository or a ref. */
  get waiting(): number {
    return this.#locks.waiting;
  }

  /** Absolute path of the bare repository. */
  directory(repo: { readonly fullName: string }): string {
    return join(this.#dataDir, 'repositories', `${repo.fullName}.git`);
  }

  /**
   * @returns the new repository's id
   * @throws UserError `conflict` when it exists, `unavailable` when there is no room for it
   */
  async create(repo: NewRepo, by: Actor): Promise<string> {
    const {
      id = newId(),
      namespace,
      name,
      description = '',
      visibility = 'private',
      defaultBranch = 'main',
      retakes,
    } = repo;
    const limit = namespace.kind === 'user' ? this.#room.limits.reposPerUser : undefined;
    const row = { id, namespace, name, description, visibility, defaultBranch, limit, retakes };
    const held = await this.#store.repositories.byName(namespace.ownerId, name);
    if (held === undefined) await this.#room.onDisk();
    const fullName: RepoName = `${namespace.name}/${name}`;
    const release = await holdNamespaces({ store: this.#store, locks: this.#locks }, [namespace]);
    const staged = repo.staged ?? join(this.#dataDir, 'incoming', `made-${id}-${randomUUID()}`);
    const isBuilt = repo.staged !== undefined;
    try {
      if (!by.dryRun) await this.moveLeftOverAside(fullName);
      // Everything that takes long comes before the row's transaction, which has the store to itself.
      if (!by.dryRun && held === undefined && !isBuilt) {
        await buildBare(staged, { defaultBranch, repoId: id });
      }
      await this.#store.repositories.add(row, by, () => this.#place(staged, fullName));
    } finally {
      await rm(staged, { recursive: true, force: true });
      release();
    }
    return id;
  }

  async #place(staged: string, fullName: RepoName): Promise<void> {
    try {
      await placeBare(staged, this.directory({ fullName }));
    } catch (cause) {
      if (!(cause instanceof UserError && cause.code === 'conflict')) throw cause;
      throw new UserError(
        'conflict',
        `${fullName}: a directory that cpm does not know is in its place`,
        { hint: `the operator registers it with: cpm repo adopt ${fullName}`, cause },
      );
    }
  }

  /**
   * Moves an empty repository of ours that no row knows out of the way: a crash came between its making and the row's
   * commit. It is looked for before the row's transaction, which has the store to itself.
   */
  async moveLeftOverAside(fullName: RepoName): Promise<void> {
    const directory = this.directory({ fullName });
    const id = await readId(directory);
    if (id === undefined || (await this.#store.repositories.byId(id)) !== undefined) return;
    // One with refs is somebody's work, as after the database was restored from an older copy.
    if ((await countRefs(directory)) > 0) return;
    await rename(directory, join(this.#dataDir, 'incoming', `left-over-${randomUUID()}`));
  }

  /** Keeps the repository from being moved, whatever is in its place. @returns the function that lets go of it */
  async share({ id }: Repository, signal: AbortSignal): Promise<() => void> {
    return this.#locks.shared(id, signal);
  }

  /**
   * Holds the repository for a transfer and makes sure that its directory is the one meant (S11).
   *
   * @returns the function that lets go of it
   * @throws UserError `unavailable` when row and directory disagree
   */
  async hold(repo: Repository, signal: AbortSignal): Promise<() => void> {
    return this.#inPlace(repo, await this.share(repo, signal));
  }

  /** As `hold`, for what can wait. @param giveWay - is told when somebody wants the repository alone */
  async holdUntilWanted(
    repo: Repository,
    signal: AbortSignal,
    giveWay: () => void,
  ): Promise<() => void> {
    return this.#inPlace(repo, await this.#locks.sharedUntilWanted(repo.id, signal, giveWay));
  }

  /**
   * Has the repository to itself.
   *
   * @param whenFree - ends the wait of one who lets everybody else go first; 30 s without it
   * @returns the function that lets go of it
   * @throws UserError `unavailable` when others hold it for so long, it was moved meanwhile, or row and directory disagree
   */
  async holdAlone(repo: Repository, whenFree?: AbortSignal): Promise<() => void> {
    const modest = whenFree && (await this.#locks.whenFree(repo.id, whenFree));
    return this.#inPlace(repo, modest ?? (await this.#locks.exclusive(repo.id, repo.fullName)));
  }

  async #inPlace(repo: Repository, release: () => void): Promise<() => void> {
    if ((await readId(this.directory(repo))) === repo.id) return release;
    release();
    const now = await this.#store.repositories.byId(repo.id);
    if (now !== undefined && now.fullName !== repo.fullName) throw movedMeanwhile(repo.fullName);
    throw new UserError(
      'unavailable',
      `${repo.fullName}: its directory is missing or not the one on record`,
      {
        hint: 'an admin finds out more with: repo verify',
      },
    );
  }

  /**
   * Holds refs against other pushes, from a push's last decision until what came of it is written down: so the history
   * of a ref is in the order of its values, and of the pushes that a crash cuts off at most one has moved it.
   *
   * @returns the function that lets go of them
   * @throws the signal's reason
   */
  async holdRefs(id: string, refs: readonly string[], signal: AbortSignal): Promise<() => void> {
    const releases: (() => void)[] = [];
    const release = () => {
      for (const one of releases) one();
    };
    try {
      // In one order for all, so that no two wait for each other.
      for (const ref of [...refs].sort()) {
        releases.push(await this.#locks.alone(`${id} ${ref}`, signal));
      }
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Visibility and default branch change only while no transfer runs (S11).
   *
   * @returns whether anything changed
   */
  async set(repo: Repository, settings: RepositorySettings, by: Actor): Promise<boolean> {
    const { defaultBranch, visibility } = settings;
    const alone = defaultBranch !== undefined || visibility !== undefined;
    const release = alone ? await this.holdAlone(repo) : () => undefined;
    try {
      return await this.#store.repositories.set(repo, settings, by, async () => {
        if (defaultBranch !== undefined) await setHead(this.directory(repo), defaultBranch);
      });
    } finally {
      release();
    }
  }

  /** Takes back a repository that a push created and then left empty, unless somebody else uses it already. */
  async removeEmpty(id: string, by: Actor): Promise<void> {
    const release = this.#locks.tryExclusive(id);
    if (release === undefined) return;
    try {
      const repo = await this.#store.repositories.byId(id);
      if (repo === undefined || (await countRefs(this.directory(repo))) > 0) return;
      const aside = join(this.#dataDir, 'incoming', `removed-${id}`);
      await this.#store.repositories.remove(repo, by, async () => {
        await rename(this.directory(repo), aside);
        await syncDirectory(join(this.#dataDir, 'repositories', repo.namespace));
      });
      await rm(aside, { recursive: true, force: true });
    } finally {
      release();
    }
  }

  /** Puts a removal that a crash cut off to an end: back in its place while the row is there, else gone. */
  async settleRemoval(entry: string): Promise<void> {
    const aside = join(this.#dataDir, 'incoming', entry);
    const id = entry.slice('removed-'.length);
    const repo = await this.#store.repositories.byId(id);
    if (repo !== undefined) await rename(aside, this.directory(repo));
    else if ((await this.#store.trash.byId(id)) === undefined) {
      await rm(aside, { recursive: true, force: true });
    } else await rename(aside, join(this.#dataDir, 'trash', `${id}.git`));
  }

  /** Takes away a repository that a crash left without a row, before anybody was told of it. */
  async removeUnknown(id: string): Promise<void> {
    const top = join(this.#dataDir, 'repositories');
    for (const namespace of await readdir(top)) {
      for (const name of await readdir(join(top, namespace))) {
        const directory = join(top, namespace, name);
        if ((await readId(directory)) !== id) continue;
        const aside = join(this.#dataDir, 'incoming', `removed-${id}`);
        await rename(directory, aside);
        await rm(aside, { recursive: true, force: true });
      }
    }
  }

  /** Removes what the making of repositories left beside them when a crash cut it off. */
  async sweepHalfMade(): Promise<void> {
    const top = join(this.#dataDir, 'repositories');
    for (const namespace of await readdir(top)) await sweepStaged(join(top, namespace));
  }

  /** Points each HEAD where its row says: a crash came between the writing of the file and the row's commit. */
  async settleHeads(): Promise<void> {
    let after = { namespace: '', name: '' };
    for (;;) {
      const repos = await this.#store.repositories.page({ kind: 'all' }, { after, limit: 500 });
      for (const repo of repos) {
        await settleHead(this.directory(repo), repo);
        after = repo;
      }
      if (repos.length === 0) return;
    }
  }

  /** The oid that a branch has now; undefined without it. */
  async tip(repo: Repository, branch: string): Promise<string | undefined> {
    return readRef(this.directory(repo), `refs/heads/${branch}`);
  }
}

async function settleHead(directory: string, repo: Repository): Promise<void> {
  // Another's, or none, is no business of a clean-up.
  if ((await readId(directory)) !== repo.id) return;
  await sweepStaged(directory);
  const head = await readRefsOf(directory, ['HEAD']).catch(() => undefined);
  if (head?.get('HEAD')?.symref === `refs/heads/${repo.defaultBranch}`) return;
  await setHead(directory, repo.defaultBranch);
}

/** Files and directories that are written beside their place and then renamed into it. */
async function sweepStaged(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  const staged = names.filter((name) => /\.new-[0-9a-f]{8}-[0-9a-f-]{27}$/.test(name));
  for (const name of staged) await rm(join(directory, name), { recursive: true, force: true });
}

/** The id that a bare repository says it has; undefined where it says none. */
export async function readId(directory: string): Promise<string | undefined> {
  return readFile(join(directory, idFile), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}
