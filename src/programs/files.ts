import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../model/errors.ts';
import { refFault } from '../model/ref.ts';
import { quoted } from '../model/repo.ts';
import { syncDirectory } from './bare.ts';

/**
 * Writes a file that must survive: a temporary name beside it, fsync, rename, fsync of the folder.
 *
 * @param mode - permissions of the new file
 */
export async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  const staged = `${path}.new-${randomUUID()}`;
  try {
    const file = await open(staged, 'wx', mode);
    try {
      await file.writeFile(text);
      // The umask of this process is narrower than what a public key may have.
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staged, path);
  } catch (error) {
    await rm(staged, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Points HEAD at a branch, durably; the branch need not exist. HEAD leads into `refs/heads/` and nowhere else (S12).
 *
 * @param branch - its name without `refs/heads/`
 * @throws UserError `usage` when that is no branch name
 */
export async function setHead(directory: string, branch: string): Promise<void> {
  const fault = refFault(`refs/heads/${branch}`);
  if (fault !== undefined) {
    throw new UserError('usage', `${quoted(branch)} is no branch name: ${fault}`);
  }
  await writeDurably(join(directory, 'HEAD'), `ref: refs/heads/${branch}\n`, 0o600);
}
