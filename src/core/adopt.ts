import { randomUUID } from 'node:crypto';
import { chmod, lstat, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../model/errors.ts';
import { isWritableRef, nullOid, refFault } from '../model/ref.ts';
import { escapeControls } from '../model/repo.ts';
import { configText, idFile, initBare, syncDirectory } from '../programs/bare.ts';
import { setHead, writeDurably } from '../programs/files.ts';
import { fsck } from '../programs/fsck.ts';
import type { Git } from '../programs/git.ts';
import { syncObjects } from '../programs/objects.ts';
import { allRefs, readRefsOf, syncRefs } from '../programs/refs.ts';
import { archiveTips, updateRefs } from '../programs/tips.ts';
import { walk } from '../programs/walk.ts';
import { newId } from '../store/changes.ts';
import type { Namespace } from '../store/names.ts';
import type { Store } from '../store/store.ts';
import { type ImportRun, notSound } from './imports.ts';
import type { Locks } from './locks.ts';
import { holdNamespaces } from './namespaces.ts';
import type { Repos } from './repos.ts';
import type { Sizes } from './sizes.ts';
import { findStrays, isBare, type Stray } from './strays.ts';

interface AdoptParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
  readonly locks: Locks;
  readonly sizes: Sizes;
  readonly dataDir: string;
}

/** Where a stray is to be registered: as its path has it. */
export interface StrayName {
  readonly namespace: Namespace;
  readonly name: string;
}

interface Ref {
  readonly name: string;
  readonly oid: string;
}

/** What a bare repository of ours consists of; everything else in an adopted one is removed. */
const own = new Set(['HEAD', 'config', idFile, 'objects', 'refs', 'packed-refs']);

/** Repositories that somebody put under `repositories/` by hand: found, checked, made ours, registered. */
export class Adoption {
  readonly #parts: AdoptParts;

  constructor(parts: AdoptParts) {
    this.#parts = parts;
  }

  /** Looks for them, in the order of their names. */
  strays(): AsyncGenerator<Stray> {
    return findStrays(this.#parts.store, join(this.#parts.dataDir, 'repositories'));
  }

  /**
   * Checks a stray repository strictly, takes everything out of it that is not objects and refs, and registers it as
   * private. Its refs elsewhere than branches, tags and notes go to the archive.
   *
   * @returns the id, and how many refs people see
   * @throws UserError `usage` when it may not be adopted as it is, `corrupt` when its objects are not sound; then
   *   nothing was changed
   */
  async adopt(stray: StrayName, run: ImportRun): Promise<{ id: string; refs: number }> {
    const { store, repos, locks } = this.#parts;
    const { namespace, name } = stray;
    const fullName = `${namespace.name}/${name}`;
    const directory = repos.directory({ fullName });
    const leave = await holdNamespaces({ store, locks }, [namespace]);
    const release = await locks.exclusive(`adopt ${fullName}`, fullName).catch((error) => {
      leave();
      throw error;
    });
    try {
      if (!(await isBare(directory))) {
        throw new UserError('not_found', `${fullName}: no bare repository lies in its place`, {
          hint: 'see what lies there with: cpm list --discover',
        });
      }
      if ((await store.repositories.byName(namespace.ownerId, name)) !== undefined) {
        throw new UserError('conflict', `${fullName}: this repository is registered already`);
      }
      await refuseOdd(directory, fullName);
      const refs = await allRefs(directory);
      const branch = await this.#check(directory, refs, run);
      return await this.#take(stray, { refs, branch }, run);
    } finally {
      release();
      leave();
    }
  }

  async #take(
    { namespace, name }: StrayName,
    { refs, branch }: { refs: readonly Ref[]; branch: string },
    { by, action }: ImportRun,
  ): Promise<{ id: string; refs: number }> {
    const { store, repos, git, sizes } = this.#parts;
    const directory = repos.directory({ fullName: `${namespace.name}/${name}` });
    const kept = refs.filter((ref) => isWritableRef(ref.name));
    const others = refs.filter((ref) => !isWritableRef(ref.name));
    const id = newId();
    if (by.dryRun) return { id, refs: kept.length };
    await neutralise(directory, branch);
    await keepApart(git, directory, others);
    await syncObjects(directory);
    await syncRefs(
      directory,
      kept.map((ref) => ref.name),
    );
    await writeDurably(join(directory, idFile), `${id}\n`, 0o600);
    const commands = kept.map((ref) => ({ ref: ref.name, old: nullOid, new: ref.oid }));
    // Not as a creation: what a crash leaves of it is the operator's, and can be adopted again.
    await store.pushes.journal(id, action, false, commands, by);
    try {
      await store.repositories.add(
        { id, namespace, name, description: '', visibility: 'private', defaultBranch: branch },
        by,
        // It lies in its place.
        async () => undefined,
      );
    } catch (error) {
      await store.pushes.settle(id, action, { done: [], archived: [] }, by);
      throw error;
    }
    const archived = others.map((ref) => ({ oid: ref.oid, ref: ref.name }));
    await store.pushes.settle(id, action, { done: commands, archived }, by);
    sizes.changed({ id }, directory);
    return { id, refs: kept.length };
  }

  /**
   * Has git look at the objects from a repository of our own that borrows them: the stray's own configuration is read by
   * nobody.
   *
   * @returns the default branch
   */
  async #check(directory: string, refs: readonly Ref[], run: ImportRun): Promise<string> {
    const { git, dataDir } = this.#parts;
    const staged = join(dataDir, 'incoming', `adopt-${randomUUID()}`);
    try {
      await initBare(staged, { defaultBranch: 'main', repoId: 'adopted' });
      await writeDurably(
        join(staged, 'objects/info/alternates'),
        `${join(directory, 'objects')}\n`,
        0o600,
      );
      const lines = refs.map(({ name, oid }) => `${oid} ${name}\n`).join('');
      await writeDurably(join(staged, 'packed-refs'), lines, 0o600);
      const faults = await fsck(git, staged, { ...run, strict: true });
      if (faults.length > 0) throw notSound(faults.map((line) => line.replaceAll(directory, '.')));
    } finally {
      await rm(staged, { recursive: true, force: true });
    }
    const head = (await readRefsOf(directory, ['HEAD'])).get('HEAD')?.symref ?? '';
    const branches = refs.flatMap(({ name }) => /^refs\/heads\/(.+)$/.exec(name)?.[1] ?? []);
    const wanted = /^refs\/heads\/(.+)$/.exec(head)?.[1];
    const isUsable = wanted !== undefined && refFault(`refs/heads/${wanted}`) === undefined;
    if (isUsable && (branches.length === 0 || branches.includes(wanted))) return wanted;
    return branches.includes('main') ? 'main' : (branches[0] ?? 'main');
  }
}

/** @throws UserError `usage` for what must not be in a repository of ours, whatever else it is (S14) */
async function refuseOdd(directory: string, fullName: string): Promise<void> {
  const refuse = (what: string, hint: string): never => {
    throw new UserError('usage', `${fullName} can't be adopted: ${what}`, { hint });
  };
  for (const path of [dirname(directory), directory]) {
    const found = await lstat(path);
    if (!found.isDirectory()) refuse('it is a link', 'put the directory itself there');
    if (found.uid !== process.geteuid?.()) refuse("it is another account's", 'chown -R it first');
  }
  for await (const { path, kind } of walk(directory)) {
    const shown = escapeControls(path);
    if (kind === 'link' || kind === 'other') {
      refuse(`${shown} is neither file nor folder`, 'replace it by what it leads to');
    }
    if (/^objects\/info\/(http-)?alternates$/.test(path)) {
      refuse('it borrows objects of another repository', 'make it whole first: git repack -a -d');
    }
    if (path === 'shallow')
      refuse('its history is cut off', 'make it whole: git fetch --unshallow');
    if (path.endsWith('.lock')) refuse(`${shown}: something works in it`, 'try again afterwards');
  }
  const config = await readFile(join(directory, 'config'), 'utf8').catch(() => '');
  if (/objectformat\s*=\s*sha256|refstorage\s*=\s*reftable/i.test(config)) {
    refuse('it is of a format that cpm does not serve', 'clone it anew with SHA-1 and files');
  }
  for (const { name } of await allRefs(directory)) {
    const fault = refFault(name);
    if (fault !== undefined) refuse(`${escapeControls(name)} is no name of a ref: ${fault}`, '');
  }
  await refuseSymrefs(directory, refuse);
}

async function refuseSymrefs(
  directory: string,
  refuse: (what: string, hint: string) => never,
): Promise<void> {
  for await (const { path, kind } of walk(join(directory, 'refs'))) {
    if (kind !== 'file') continue;
    const name = `refs/${path}`;
    const value = (await readRefsOf(directory, [name])).get(name);
    if (value?.symref !== undefined) {
      refuse(`${escapeControls(name)} is a name for another ref`, 'delete it: git symbolic-ref -d');
    }
  }
}

/** Leaves objects and refs, and makes everything else ours. Each step leaves a repository that can be adopted again. */
async function neutralise(directory: string, branch: string): Promise<void> {
  await writeDurably(join(directory, 'config'), configText, 0o600);
  await setHead(directory, branch);
  for (const name of await readdir(directory)) {
    if (!own.has(name)) await rm(join(directory, name), { recursive: true, force: true });
  }
  await chmod(directory, 0o700);
  for await (const { path, kind } of walk(directory)) {
    const inside = join(directory, path);
    if (kind === 'folder') await chmod(inside, 0o700);
    else await chmod(inside, (await stat(inside)).mode & 0o600);
  }
  await syncDirectory(directory);
}

/** Refs that nobody may write, as those of reviews or replacements, are kept like overwritten ones. */
async function keepApart(git: Git, directory: string, refs: readonly Ref[]): Promise<void> {
  const foreign = refs.filter(({ name }) => !name.startsWith('refs/cpm/archive/'));
  await archiveTips(
    git,
    directory,
    refs.map(({ oid }) => oid),
  );
  await updateRefs(
    git,
    directory,
    foreign.map(({ name, oid }) => ({ ref: name, old: oid, new: nullOid })),
  );
}
