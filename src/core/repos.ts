import { randomUUID } from 'node:crypto';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../model/errors.ts';
import type { RepoName, Visibility } from '../model/repo.ts';
import { idFile, initBare, syncDirectory } from '../programs/bare.ts';
import { setHead } from '../programs/files.ts';
import { countRefs, readRef } from '../programs/refs.ts';
import { type Actor, newId } from '../store/changes.ts';
import type { Namespace } from '../store/names.ts';
import type { Repository, RepositorySettings } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Locks } from './locks.ts';

export interface NewRepo {
  readonly namespace: Namespace;
  readonly name: string;
  readonly description?: string | undefined;
  readonly visibility?: Visibility | undefined;
  readonly defaultBranch?: string | undefined;
}

/** Repositories: the row and the bare repository on disk, always together. */
export class Repos {
  readonly #store: Store;
  readonly #locks: Locks;
  readonly #dataDir: string;

  constructor(store: Store, locks: Locks, dataDir: string) {
    this.#store = store;
    this.#locks = locks;
    this.#dataDir = dataDir;
  }

  /** Absolute path of the bare repository. */
  directory(repo: { readonly fullName: string }): string {
    return join(this.#dataDir, 'repositories', `${repo.fullName}.git`);
  }

  /**
   * @returns the new repository's id
   * @throws UserError `conflict` when it exists
   */
  async create(repo: NewRepo, by: Actor): Promise<string> {
    const id = newId();
    const {
      namespace,
      name,
      description = '',
      visibility = 'private',
      defaultBranch = 'main',
    } = repo;
    const row = { id, namespace, name, description, visibility, defaultBranch };
    const fullName: RepoName = `${namespace.name}/${name}`;
    await this.#store.repositories.add(row, by, () => this.#place(fullName, id, defaultBranch));
    return id;
  }

  async #place(fullName: RepoName, id: string, defaultBranch: string): Promise<void> {
    const directory = this.directory({ fullName });
    try {
      await initBare(directory, { defaultBranch, repoId: id });
    } catch (error) {
      if (!(error instanceof UserError && error.code === 'conflict')) throw error;
      if (!(await this.#isLeftOver(directory))) {
        throw new UserError(
          'conflict',
          `${fullName}: a directory that cpm does not know is in its place`,
          {
            hint: `the operator registers it with: cpm repo adopt ${fullName}`,
          },
        );
      }
      await rename(directory, join(this.#dataDir, 'incoming', `left-over-${randomUUID()}`));
      await initBare(directory, { defaultBranch, repoId: id });
    }
  }

  /** A directory of ours that no row knows: a crash came between its making and the row's commit. */
  async #isLeftOver(directory: string): Promise<boolean> {
    const id = await readId(directory);
    return id !== undefined && (await this.#store.repositories.byId(id)) === undefined;
  }

  /**
   * Holds the repository for a transfer and makes sure that its directory is the one meant (S11).
   *
   * @returns the function that lets go of it
   * @throws UserError `unavailable` when row and directory disagree
   */
  async hold(repo: Repository, signal: AbortSignal): Promise<() => void> {
    const release = await this.#locks.shared(repo.id, signal);
    if ((await readId(this.directory(repo))) === repo.id) return release;
    release();
    throw new UserError(
      'unavailable',
      `${repo.fullName}: its directory is missing or not the one on record`,
      {
        hint: 'an admin finds out more with: repo verify',
      },
    );
  }

  /**
   * Visibility and default branch change only while no transfer runs (S11).
   *
   * @returns whether anything changed
   */
  async set(repo: Repository, settings: RepositorySettings, by: Actor): Promise<boolean> {
    const { defaultBranch, visibility } = settings;
    const alone = defaultBranch !== undefined || visibility !== undefined;
    const release = alone ? await this.#locks.exclusive(repo.id, repo.fullName) : () => undefined;
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
    const repo = await this.#store.repositories.byId(entry.slice('removed-'.length));
    if (repo === undefined) await rm(aside, { recursive: true, force: true });
    else await rename(aside, this.directory(repo));
  }

  /** The oid that a branch has now; undefined without it. */
  async tip(repo: Repository, branch: string): Promise<string | undefined> {
    return readRef(this.directory(repo), `refs/heads/${branch}`);
  }
}

async function readId(directory: string): Promise<string | undefined> {
  return readFile(join(directory, idFile), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}
