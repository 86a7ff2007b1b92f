import { createHash } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isWritableRef } from '../../model/ref.ts';
import { type RefList, type RefsFile, refsDigest, writeRefsFile } from '../../model/sync-refs.ts';
import type { Git } from '../../programs/git.ts';
import { type PackFile, writePack } from '../../programs/pack.ts';
import { refValues } from '../../programs/refs.ts';
import { typesOf } from '../../programs/tips.ts';

/** What the file `manifest` of a session says of the two others. */
export interface Manifest {
  readonly version: 1;
  /** The digest of the sender's whole list. */
  readonly digest: string;
  readonly refs: { readonly sha256: string; readonly bytes: number };
  /** null where the other side has all objects already. */
  readonly pack: PackFile | null;
}

export const fileNames = { refs: 'refs', manifest: 'manifest' } as const;

/** The branches, tags and notes of a repository. */
export async function visibleRefs(directory: string): Promise<RefList> {
  const refs = await refValues(directory);
  for (const ref of refs.keys()) if (!isWritableRef(ref)) refs.delete(ref);
  return refs;
}

/** With the sender's refs, read before anything else: every object that they name is there. */
export interface SnapshotOptions extends RefsFile {
  /** Of the refs, where it is known already. */
  readonly digest?: string | undefined;
  /** What the receiver has. */
  readonly theirs: RefList;
  /** A list that both sides know: then only what changed since is written. */
  readonly from: { digest: string; refs: RefList } | undefined;
  /** The session directory. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/**
 * Writes the three files of a session: one pack with what the receiver lacks, the list of refs, and their sums. The
 * caller holds the repository, so that no object goes meanwhile.
 */
export async function writeSnapshot(
  git: Git,
  directory: string,
  { refs, digest, theirs, births, deleted, from, folder, signal }: SnapshotOptions,
): Promise<Manifest> {
  await clear(folder);
  const held = new Set(theirs.values());
  const wants = [...new Set(refs.values())].filter((oid) => !held.has(oid));
  const pack =
    wants.length === 0
      ? null
      : await packOf(git, directory, { wants, held, refs, known: from?.refs, folder, signal });
  const text = writeRefsFile({ refs, births, deleted }, from);
  await writeFile(join(folder, fileNames.refs), text, { mode: 0o600 });
  const manifest: Manifest = {
    version: 1,
    digest: digest ?? refsDigest(refs),
    refs: { sha256: sha256(text), bytes: Buffer.byteLength(text) },
    pack,
  };
  await writeFile(join(folder, fileNames.manifest), JSON.stringify(manifest), { mode: 0o600 });
  return manifest;
}

interface Packing {
  readonly wants: readonly string[];
  readonly held: ReadonlySet<string>;
  readonly refs: RefList;
  /** The receiver's values that were kept here when both agreed. */
  readonly known: RefList | undefined;
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** git is asked what is here only for values of the receiver that nothing says so of, or when one is gone since. */
async function packOf(
  git: Git,
  directory: string,
  { wants, held, refs, known, folder, signal }: Packing,
): Promise<PackFile> {
  const own = new Set(refs.values());
  const kept = new Set(known?.values());
  const [here, others]: [string[], string[]] = [[], []];
  for (const oid of held) (own.has(oid) || kept.has(oid) ? here : others).push(oid);
  const haves = [...here, ...(await existing(git, directory, others))];
  const asked = { wants, folder, signal };
  try {
    return await writePack(git, directory, { ...asked, haves });
  } catch (error) {
    signal.throwIfAborted();
    const there = await existing(git, directory, haves);
    if (there.length === haves.length) throw error;
    await clear(folder);
    return writePack(git, directory, { ...asked, haves: there });
  }
}

async function existing(
  git: Git,
  directory: string,
  oids: readonly string[],
): Promise<readonly string[]> {
  return oids.length === 0 ? [] : [...(await typesOf(git, directory, oids)).keys()];
}

async function clear(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The bytes of the files that a manifest tells of. */
export function manifestBytes({ refs, pack }: Manifest): number {
  return refs.bytes + (pack?.bytes ?? 0);
}
