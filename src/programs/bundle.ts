import { readdir } from 'node:fs/promises';
import type { Git } from './git.ts';
import { allRefs } from './refs.ts';

const longMs = 6 * 3_600_000;

/**
 * Packs everything that the refs of a repository reach, hidden ones too, into one file.
 *
 * @param file - absolute path of a new file
 * @returns false for a repository without refs, of which there is no bundle
 */
export async function makeBundle(
  git: Git,
  directory: string,
  { file, signal }: { file: string; signal: AbortSignal },
): Promise<boolean> {
  if ((await allRefs(directory)).length === 0) return false;
  const { status, stderr } = await git.run(['bundle', 'create', '-q', file, '--all'], {
    cwd: directory,
    timeoutMs: longMs,
    signal,
  });
  if (status !== 0) throw new Error(`git bundle: ${stderr}`);
  return true;
}

/**
 * Brings all that a bundle has into an empty repository, every object and link between them checked.
 *
 * @param file - absolute path
 * @returns what git found wrong; undefined when it is all there
 */
export async function readBundle(
  git: Git,
  directory: string,
  { file, signal }: { file: string; signal: AbortSignal },
): Promise<string | undefined> {
  const config = { 'protocol.allow': 'never', 'protocol.file.allow': 'always' };
  const options = { cwd: directory, timeoutMs: longMs, signal, config };
  const words = ['fetch', '-q', '--no-write-fetch-head', '--no-tags', '--update-head-ok'];
  const read = await git.run([...words, file, '+refs/*:refs/*'], options);
  if (read.status !== 0) return read.stderr.replaceAll(file, 'the bundle').trim();
  const packed = await git.run(['pack-refs', '--all'], options);
  return packed.status === 0 ? undefined : packed.stderr.trim();
}

/** Whether a directory has nothing in it, or is none. */
export async function isEmptyDirectory(path: string): Promise<boolean> {
  const entries = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return entries.length === 0;
}
