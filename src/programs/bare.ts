import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../model/errors.ts';

export interface NewRepository {
  /** A branch's name without `refs/heads/`, already checked. */
  readonly defaultBranch: string;
  readonly repoId: string;
}

/** The file in a bare repository that holds its id. */
export const idFile = 'cpm-id';

/** The whole configuration of a repository of ours. */
export const configText =
  '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n';

/**
 * Makes an empty bare repository out of our own template: no hooks, no description, a configuration that is ours.
 * It is built beside its place and renamed into it, every file and folder synced: a crash leaves all of it or nothing
 * but a folder called `….new-<uuid>`.
 *
 * @param directory - absolute path; its parent folder is made when missing
 * @throws UserError `conflict` when something is there already
 */
export async function initBare(directory: string, repository: NewRepository): Promise<void> {
  await mkdir(dirname(directory), { recursive: true, mode: 0o700 });
  const staged = `${directory}.new-${randomUUID()}`;
  try {
    await buildBare(staged, repository);
    await placeBare(staged, directory);
  } catch (cause) {
    await rm(staged, { recursive: true, force: true });
    throw cause;
  }
}

/**
 * Puts a repository that was built elsewhere in the same file system into its place, durably and all at once.
 *
 * @throws UserError `conflict` when something is there already
 */
export async function placeBare(staged: string, directory: string): Promise<void> {
  const parent = dirname(directory);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  try {
    await rename(staged, directory);
  } catch (cause) {
    if (!isTaken(cause)) throw cause;
    throw new UserError('conflict', 'a repository is there already', { cause });
  }
  await syncDirectory(parent);
  await syncDirectory(dirname(parent));
}

/** Builds an empty bare repository, every file and folder synced. @param directory - absolute path of nothing */
export async function buildBare(directory: string, repository: NewRepository): Promise<void> {
  const folders = [
    '',
    'objects',
    'objects/info',
    'objects/pack',
    'refs',
    'refs/heads',
    'refs/tags',
  ];
  for (const folder of folders) await mkdir(join(directory, folder), { mode: 0o700 });
  await writeSynced(join(directory, 'HEAD'), `ref: refs/heads/${repository.defaultBranch}\n`);
  await writeSynced(join(directory, 'config'), configText);
  await writeSynced(join(directory, idFile), `${repository.repoId}\n`);
  for (const folder of folders.reverse()) await syncDirectory(join(directory, folder));
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes a folder's entries durable. @throws Error of the file system, also when it is missing */
export async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isTaken(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR';
}
