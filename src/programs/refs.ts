import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isOid } from '../model/oid.ts';
import { isWritableRef } from '../model/ref.ts';
import { syncDirectory } from './bare.ts';
import { allPacked, readPacked } from './packed.ts';

/** What a ref holds: an oid, or another ref's name. */
export type RefValue =
  | { readonly oid: string; readonly symref?: undefined }
  | { readonly symref: string; readonly oid?: undefined };

/** Files that are read before others have their turn. */
const atOnce = 32;

/**
 * Reads refs as git stores them, without a git process: first the loose file, then packed-refs, the order in which
 * git's own packing and deleting can't hide a value.
 *
 * @param directory - the bare repository
 * @param refs - full names, already checked by `refFault`
 * @returns by name; a ref that does not exist is absent
 * @throws Error when a ref file holds neither an oid nor a symref
 */
export async function readRefsOf(
  directory: string,
  refs: readonly string[],
): Promise<Map<string, RefValue>> {
  const values = new Map<string, RefValue>();
  const absent: string[] = [];
  for (let at = 0; at < refs.length; at += atOnce) {
    if (at > 0) await new Promise(setImmediate);
    for (const ref of refs.slice(at, at + atOnce)) {
      const value = readLoose(directory, ref);
      if (value === undefined) absent.push(ref);
      else values.set(ref, value);
    }
  }
  if (absent.length === 0) return values;
  for (const [ref, oid] of await readPacked(directory, absent)) values.set(ref, { oid });
  return values;
}

/**
 * The oid that a ref leads to; of a symref (HEAD) that of its target.
 *
 * @returns undefined when the ref, or its target, does not exist
 */
export async function readRef(directory: string, ref: string): Promise<string | undefined> {
  let name = ref;
  for (let hops = 0; hops < 5; hops++) {
    const value = (await readRefsOf(directory, [name])).get(name);
    if (value?.symref === undefined) return value?.oid;
    name = value.symref;
  }
  return undefined;
}

/** Whether a ref is a name for another ref, as HEAD is. */
export async function isSymref(directory: string, ref: string): Promise<boolean> {
  return readLoose(directory, ref)?.symref !== undefined;
}

function readLoose(directory: string, ref: string): RefValue | undefined {
  const text = readNoFollow(join(directory, ref));
  if (text === undefined) return undefined;
  const line = text.trimEnd();
  if (line.startsWith('ref:')) return { symref: line.slice('ref:'.length).trim() };
  if (isOid(line)) return { oid: line };
  throw new Error(`${ref} holds neither an object id nor a ref`);
}

/**
 * At once: a file of 41 bytes is read in less time than it takes to hand it to another thread and wait for that.
 *
 * @returns undefined when there is no such file; a symbolic link reads as a symref, which it once was to git
 */
function readNoFollow(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return undefined;
    if (code === 'ELOOP') return 'ref: symbolic link';
    throw error;
  }
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') return undefined;
    throw error;
  } finally {
    closeSync(file);
  }
}

/**
 * Makes changed refs durable: git syncs the files, but not the folders that they were renamed into.
 *
 * @param refs - the refs that were written or deleted
 */
export async function syncRefs(directory: string, refs: readonly string[]): Promise<void> {
  const folders = new Set<string>();
  for (const ref of refs) {
    for (let at = dirname(ref); at !== '.'; at = dirname(at)) folders.add(at);
  }
  if (refs.length === 0) return;
  const deepestFirst = [...folders].sort((one, other) => other.length - one.length);
  for (const folder of deepestFirst) await syncIfThere(join(directory, folder));
  // packed-refs lies in the repository's own folder, and deletions rewrite it.
  await syncDirectory(directory);
}

async function syncIfThere(path: string): Promise<void> {
  try {
    await syncDirectory(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // git removes folders that a deletion emptied; the one above tells of that.
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
  }
}

/**
 * Every ref of a repository, hidden ones too, by name; symrefs are left out.
 *
 * @throws Error when a ref file holds neither an oid nor a symref
 */
export async function allRefs(directory: string): Promise<{ name: string; oid: string }[]> {
  const found = await refValues(directory);
  const byName = [...found].sort(([one], [other]) => (one < other ? -1 : 1));
  return byName.map(([name, oid]) => ({ name, oid }));
}

/** As `allRefs`, in no order. */
export async function refValues(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const loose: string[] = [];
  // Loose files first: a value that git packs meanwhile is seen twice, not missed.
  for await (const ref of looseUnder(directory, 'refs')) loose.push(ref);
  const values = await readRefsOf(directory, loose);
  for await (const entries of allPacked(directory)) {
    for (const [oid, ref] of entries) found.set(ref, oid);
  }
  for (const [ref, { oid }] of values) {
    if (oid === undefined) found.delete(ref);
    else found.set(ref, oid);
  }
  return found;
}

/** How many refs clients see: branches, tags and notes. */
export async function countRefs(directory: string): Promise<number> {
  const loose = new Set<string>();
  for (const folder of ['refs/heads', 'refs/tags', 'refs/notes']) {
    for await (const ref of looseUnder(directory, folder)) loose.add(ref);
  }
  let packed = 0;
  for await (const entries of allPacked(directory)) {
    for (const [, ref] of entries) if (isWritableRef(ref) && !loose.has(ref)) packed += 1;
  }
  return loose.size + packed;
}

async function* looseUnder(directory: string, folder: string): AsyncGenerator<string> {
  const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* looseUnder(directory, name);
    else if (!name.endsWith('.lock')) yield name;
  }
}
