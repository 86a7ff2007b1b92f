import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../model/errors.ts';
import { type HouseLock, lockHouse } from '../store/sqlite.ts';

/** Takes the data directory for this process. @throws UserError `conflict` when another has it for as long as is waited */
export async function takeHouse(dataDir: string, waitMs: number): Promise<HouseLock> {
  const lock = await tryHouse(dataDir, waitMs);
  if (lock !== undefined) return lock;
  throw await inUse(dataDir);
}

/** The same. @returns undefined when another process has it */
export async function tryHouse(
  dataDir: string,
  waitMs: number,
  signal?: AbortSignal,
): Promise<HouseLock | undefined> {
  await mkdir(join(dataDir, 'run'), { recursive: true, mode: 0o700 });
  const lock = await lockHouse(join(dataDir, 'run', 'lock.db'), waitMs, signal);
  if (lock !== undefined) await writeFile(pidPath(dataDir), `${process.pid}\n`, { mode: 0o600 });
  return lock;
}

/** Lets go of it. */
export async function leaveHouse(dataDir: string, lock: HouseLock): Promise<void> {
  await rm(pidPath(dataDir), { force: true });
  lock.release();
}

/** Who has the data directory, as an error to throw. */
export async function inUse(dataDir: string): Promise<UserError> {
  const pid = (await readFile(pidPath(dataDir), 'utf8').catch(() => '')).trim();
  return new UserError('conflict', `the data directory ${dataDir} is in use by process ${pid}`, {
    hint: 'stop that server first, or name another --data-dir',
  });
}

function pidPath(dataDir: string): string {
  return join(dataDir, 'run', 'pid');
}
