import { access, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../model/errors.ts';
import { syncDirectory } from '../programs/bare.ts';
import type { Actor } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { TrashedRepository } from '../store/trash.ts';
import type { Locks } from './locks.ts';
import { holdNamespaces } from './namespaces.ts';
import { type Repos, readId } from './repos.ts';
import type { Room } from './room.ts';
import type { KeptSnapshots } from './rsync/kept.ts';
import type { Sizes } from './sizes.ts';

interface TrashParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly locks: Locks;
  readonly room: Room;
  readonly sizes: Sizes;
  readonly kept: KeptSnapshots;
  readonly dataDir: string;
}

/**
 * Deleted repositories: row and directory move together, by a transaction that ends with a rename. After a crash
 * between the two the row says where the directory belongs.
 */
export class TrashCan {
  readonly #parts: TrashParts;

  constructor(parts: TrashParts) {
    this.#parts = parts;
  }

  /** Absolute path of a deleted repository: by its id, for several may have had one name. */
  directory({ id }: Pick<Repository, 'id'>): string {
    return join(this.#parts.dataDir, 'trash', `${id}.git`);
  }

  /**
   * Moves a repository into the trash once nobody uses it.
   *
   * @throws UserError `unavailable` when it stays in use
   */
  async delete({ id, fullName }: Repository, by: Actor): Promise<void> {
    const { store, repos, locks, sizes, kept } = this.#parts;
    const release = await locks.exclusive(id, fullName);
    try {
      // What it was called before the wait may not be its name any more.
      const repo = await store.repositories.byId(id);
      if (repo === undefined) throw gone(fullName);
      const directory = repos.directory(repo);
      // A directory that is another's, or missing, is no reason to keep the row.
      const isOurs = (await readId(directory)) === repo.id;
      await moving(directory, this.directory(repo), (move) =>
        store.trash.add(repo, by, async () => {
          if (isOurs) await move();
        }),
      );
      // A measurement that waits would look where it was before.
      if (!by.dryRun) sizes.changed(repo, this.directory(repo));
      if (!by.dryRun) await kept.drop(id);
    } finally {
      release();
    }
  }

  /** @throws UserError `conflict` when its name was taken meanwhile, `unavailable` when its directory is missing */
  async restore(
    { id, fullName }: TrashedRepository,
    by: Actor,
    { retakes = [] }: { readonly retakes?: readonly string[] | undefined } = {},
  ): Promise<void> {
    const { store, repos, locks, room, sizes } = this.#parts;
    const found = await store.trash.byId(id);
    if (found === undefined) throw gone(fullName);
    const { namespaceId: ownerId, namespaceKind: kind, namespace: name } = found;
    const leave = await holdNamespaces(this.#parts, [{ ownerId, kind, name }]);
    const release = await locks.exclusive(id, fullName).catch((error) => {
      leave();
      throw error;
    });
    try {
      const repo = await store.trash.byId(id);
      if (repo === undefined) throw gone(fullName);
      const from = this.directory(repo);
      if ((await readId(from)) !== repo.id) {
        throw new UserError('unavailable', `${repo.fullName}: its files are not in the trash`, {
          hint: 'the operator may find them in a backup',
        });
      }
      const limit = repo.namespaceKind === 'user' ? room.limits.reposPerUser : undefined;
      const to = repos.directory(repo);
      await moving(from, to, async (move) => {
        const place = async () => {
          await refuseInTheWay(to, repo);
          await move();
        };
        await store.trash.restore(repo, by, { limit, retakes, place });
      });
      if (!by.dryRun) sizes.changed(repo, to);
    } finally {
      release();
      leave();
    }
  }

  /** Ends a deleted repository for good. */
  async remove(repo: TrashedRepository, by: Actor): Promise<void> {
    const { store, locks, dataDir } = this.#parts;
    const release = await locks.exclusive(repo.id, repo.fullName);
    try {
      const from = this.directory(repo);
      const aside = join(dataDir, 'incoming', `removed-${repo.id}`);
      const isThere = await exists(from);
      await moving(from, aside, (move) =>
        store.trash.remove(repo, by, async () => {
          if (isThere) await move();
        }),
      );
      if (!by.dryRun) await rm(aside, { recursive: true, force: true });
    } finally {
      release();
    }
  }

  /** Puts each directory where its row says: a crash came between the rename and the row's commit. */
  async settle(): Promise<void> {
    const { store, repos, dataDir } = this.#parts;
    for (const entry of await readdir(join(dataDir, 'trash'))) {
      const live = await store.repositories.byId(basename(entry, '.git'));
      if (live === undefined || (await exists(repos.directory(live)))) continue;
      await moveDurably(this.directory(live), repos.directory(live));
    }
    let after = { deletedAt: '', id: '' };
    for (;;) {
      const page = await store.trash.page({ kind: 'all' }, { after, limit: 500 });
      for (const repo of page) {
        after = repo;
        if (await exists(this.directory(repo))) continue;
        const directory = repos.directory(repo);
        if ((await readId(directory)) === repo.id)
          await moveDurably(directory, this.directory(repo));
      }
      if (page.length === 0) return;
    }
  }
}

function gone(fullName: string): UserError {
  return new UserError('conflict', `${fullName}: somebody else was quicker`, {
    hint: 'look again with: repo trash list',
  });
}

/** Does what ends with a move, and moves back what a failure behind it left moved. */
async function moving(
  from: string,
  to: string,
  work: (move: () => Promise<void>) => Promise<void>,
): Promise<void> {
  let moved = false;
  try {
    await work(async () => {
      await rename(from, to);
      moved = true;
      await syncDirectory(dirname(to));
      await syncDirectory(dirname(from));
    });
  } catch (error) {
    if (moved) await moveDurably(to, from);
    throw error;
  }
}

async function moveDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(dirname(to));
  await syncDirectory(dirname(from));
}

/** A rename would replace an empty directory, and fail on others without a word of why. */
async function refuseInTheWay(directory: string, { fullName }: Repository): Promise<void> {
  if (!(await exists(directory))) return;
  throw new UserError(
    'conflict',
    `${fullName}: a directory that cpm does not know is in its place`,
    { hint: `the operator registers it with: cpm repo adopt ${fullName}` },
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
