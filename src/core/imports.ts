import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../model/errors.ts';
import { isWritableRef, nullOid } from '../model/ref.ts';
import { sizeText } from '../model/units.ts';
import { initBare } from '../programs/bare.ts';
import { checkBundle, fetchAll } from '../programs/fetch.ts';
import { setHead } from '../programs/files.ts';
import { fsck } from '../programs/fsck.ts';
import type { Git } from '../programs/git.ts';
import { syncObjects } from '../programs/objects.ts';
import { allRefs, syncRefs } from '../programs/refs.ts';
import type { Progress, Watch } from '../programs/watched.ts';
import { type Actor, newId } from '../store/changes.ts';
import type { Store } from '../store/store.ts';
import type { NewRepo, Repos } from './repos.ts';
import type { Room } from './room.ts';
import type { Sizes } from './sizes.ts';

interface ImportParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
  readonly room: Room;
  readonly sizes: Sizes;
  readonly dataDir: string;
  /** Bytes that a bundle may have. */
  packSizeBytes(): number;
}

/** Where an import comes from: the absolute path of a local repository, or the bytes of a bundle. */
export type Source =
  | { readonly kind: 'repository'; readonly path: string }
  | { readonly kind: 'bundle'; readonly bytes: AsyncIterable<Buffer> };

/** Who imports, until when, and who wants to know how far it is. */
export interface ImportRun extends Watch {
  readonly by: Actor;
  /** What history calls it: the command's words. */
  readonly action: string;
  readonly progress?: ((now: Progress) => void) | undefined;
}

/** Repositories that come in whole: built in quarantine, checked like a push, then put in place with their history. */
export class Imports {
  readonly #parts: ImportParts;

  constructor(parts: ImportParts) {
    this.#parts = parts;
  }

  /**
   * Creates a repository with the branches, tags and notes of a source, all of them or nothing.
   *
   * @returns its id, and how many refs it has
   * @throws UserError `usage` when the source can't be read, `corrupt` when its objects are not sound, else as `create`
   */
  async create(
    repo: NewRepo,
    source: Source,
    run: ImportRun,
  ): Promise<{ id: string; refs: number }> {
    const { store, room, dataDir } = this.#parts;
    const { namespace, name } = repo;
    // Before anything is read; the row's own transaction looks once more.
    if ((await store.repositories.byName(namespace.ownerId, name)) !== undefined) {
      const full = `${namespace.name}/${name}`;
      throw new UserError('conflict', `${full}: this repository exists already`, {
        hint: `see it with: show ${full}`,
      });
    }
    await room.onDisk();
    await room.inNamespace({ id: namespace.ownerId, name: namespace.name });
    const id = newId();
    const staged = join(dataDir, 'incoming', `import-${id}`);
    try {
      await initBare(staged, { defaultBranch: 'main', repoId: id });
      const head = await this.#fill(staged, source, run);
      return await this.#place({ ...repo, id, staged }, head, run);
    } finally {
      await rm(staged, { recursive: true, force: true });
    }
  }

  /** @returns the branch that the source's HEAD leads to */
  async #fill(staged: string, source: Source, run: ImportRun): Promise<string | undefined> {
    const { git } = this.#parts;
    if (source.kind === 'repository') return fetchAll(git, staged, { ...run, source: source.path });
    const bundle = `${staged}.bundle`;
    try {
      await this.#receive(source.bytes, bundle, run);
      await checkBundle(bundle);
      return await fetchAll(git, staged, { ...run, source: bundle });
    } finally {
      await rm(bundle, { force: true });
    }
  }

  async #receive(
    bytes: AsyncIterable<Buffer>,
    path: string,
    { progress }: ImportRun,
  ): Promise<void> {
    const packSizeBytes = this.#parts.packSizeBytes();
    const file = await open(path, 'wx', 0o600);
    try {
      let size = 0;
      for await (const chunk of bytes) {
        size += chunk.length;
        if (size > packSizeBytes) {
          throw new UserError(
            'unavailable',
            `the bundle is bigger than ${sizeText(packSizeBytes)} (limits.pack_size)`,
            { hint: 'create the repository empty, and push in several parts' },
          );
        }
        await file.writeFile(chunk);
        progress?.({ what: 'Receiving bytes', done: size, total: 0 });
      }
    } finally {
      await file.close();
    }
  }

  async #place(
    repo: NewRepo & { id: string; staged: string },
    head: string | undefined,
    run: ImportRun,
  ): Promise<{ id: string; refs: number }> {
    const { store, repos, git, sizes } = this.#parts;
    const { id, staged } = repo;
    const { by, action } = run;
    const faults = await fsck(git, staged, { ...run, strict: true });
    if (faults.length > 0) throw notSound(faults);
    const refs = await allRefs(staged);
    const names = refs.map((ref) => ref.name);
    if (!names.every(isWritableRef)) throw new Error('a ref came in that nobody may write');
    const defaultBranch = branchOf(names, repo.defaultBranch, head);
    await setHead(staged, defaultBranch);
    await syncObjects(staged);
    await syncRefs(staged, names);
    const commands = refs.map((ref) => ({ ref: ref.name, old: nullOid, new: ref.oid }));
    if (by.dryRun) {
      await repos.create({ ...repo, defaultBranch }, by);
      return { id, refs: refs.length };
    }
    await store.pushes.journal(id, action, true, commands, by);
    try {
      await repos.create({ ...repo, defaultBranch }, by);
    } catch (error) {
      await store.pushes.settle(id, action, { done: [], archived: [] }, by);
      throw error;
    }
    await store.pushes.settle(id, action, { done: commands, archived: [] }, by);
    sizes.changed({ id }, repos.directory({ fullName: `${repo.namespace.name}/${repo.name}` }));
    return { id, refs: refs.length };
  }
}

/** The first faults of many, as one error. */
export function notSound(faults: readonly string[]): UserError {
  const shown = faults.slice(0, 3).join('; ');
  const more = faults.length > 3 ? `; and ${faults.length - 3} more` : '';
  return new UserError('corrupt', `its objects are not sound: ${shown}${more}`, {
    hint: 'nothing was done; look at the source with: git fsck --strict',
  });
}

/** @throws UserError `not_found` when a branch was asked for that is not there */
function branchOf(
  refs: readonly string[],
  wanted: string | undefined,
  head: string | undefined,
): string {
  const branches = refs.flatMap((ref) => /^refs\/heads\/(.+)$/.exec(ref)?.[1] ?? []);
  if (wanted !== undefined && branches.length > 0 && !branches.includes(wanted)) {
    throw new UserError('not_found', `what came in has no branch ${wanted}`, {
      hint: 'leave --default-branch out to take the branch that its HEAD leads to',
    });
  }
  const known = [head, 'main', branches[0]].find(
    (name) => name !== undefined && branches.includes(name),
  );
  return wanted ?? known ?? head ?? 'main';
}
