import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { escapeControls, nameFault } from '../model/repo.ts';
import { countRefs, readRefsOf } from '../programs/refs.ts';
import { sizeOfTree } from '../programs/size.ts';
import type { Store } from '../store/store.ts';
import { readId } from './repos.ts';

/** A bare repository under `repositories/` that no row knows. */
export interface Stray {
  /** `namespace/name`, as its path has it; safe to show. */
  readonly fullName: string;
  /** The branch that its HEAD leads to. */
  readonly defaultBranch: string;
  readonly sizeBytes: number;
  readonly refs: number;
  /** ISO 8601 UTC. */
  readonly updatedAt: string;
  /** Why it can't be adopted, as far as one look tells; undefined when nothing is in the way. */
  readonly fault: string | undefined;
}

/** Looks for strays, in the order of their names. @param top - the folder of all repositories */
export async function* findStrays(store: Store, top: string): AsyncGenerator<Stray> {
  for (const folder of (await readdir(top)).sort()) {
    if (await isBare(join(top, folder))) {
      yield await strayAt(
        top,
        folder,
        'it lies in no namespace: move it to repositories/NAMESPACE/',
      );
      continue;
    }
    const names = await readdir(join(top, folder)).catch(() => []);
    for (const name of names.sort()) {
      const path = `${folder}/${name}`;
      if (!(await isBare(join(top, path))) || (await isKnown(store, top, path))) continue;
      yield await strayAt(top, path, await nameFaultOf(store, path));
    }
  }
}

async function isKnown(store: Store, top: string, path: string): Promise<boolean> {
  const id = await readId(join(top, path));
  const repo = id === undefined ? undefined : await store.repositories.byId(id);
  return repo !== undefined && `${repo.fullName}.git` === path;
}

async function nameFaultOf(store: Store, path: string): Promise<string | undefined> {
  const [namespace = '', file = ''] = path.split('/');
  if (!file.endsWith('.git')) return 'its name does not end in .git';
  const name = file.slice(0, -'.git'.length);
  const fault = nameFault(namespace) ?? nameFault(name);
  if (fault !== undefined) return `its name will not do: ${fault}`;
  const owner = await store.names.find(namespace);
  if (owner === undefined)
    return `${namespace} is no user or organization: org create ${namespace}`;
  const held = await store.repositories.byName(owner.ownerId, name);
  return held === undefined ? undefined : 'the record has another repository of that name';
}

async function strayAt(top: string, path: string, fault: string | undefined): Promise<Stray> {
  const directory = join(top, path);
  const link = (await lstat(directory)).isDirectory() ? undefined : 'it is a link';
  const head = await readRefsOf(directory, ['HEAD']).catch(() => undefined);
  return {
    fullName: escapeControls(path.replace(/\.git$/, '')),
    defaultBranch: /^refs\/heads\/(.+)$/.exec(head?.get('HEAD')?.symref ?? '')?.[1] ?? '',
    sizeBytes: await sizeOfTree(directory),
    refs: await countRefs(directory).catch(() => 0),
    updatedAt: (await stat(directory)).mtime.toISOString(),
    fault: link ?? fault,
  };
}

/** Whether something that looks like a bare repository is there. */
export async function isBare(directory: string): Promise<boolean> {
  const parts = await Promise.all(
    ['HEAD', 'objects', 'refs'].map((name) => lstat(join(directory, name)).catch(() => undefined)),
  );
  return parts.every((part) => part !== undefined);
}
