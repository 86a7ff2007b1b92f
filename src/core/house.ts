import { access, chmod, lstat, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../model/errors.ts';
import { syncDirectory } from '../programs/bare.ts';
import { writeDurably } from '../programs/files.ts';

const folders = ['keys', 'repositories', 'trash', 'incoming'] as const;
const marker = 'first-start';

/** What stands where a data directory should be. */
export type HouseState = 'absent' | 'complete';

/**
 * Looks at a data directory without changing it. One whose first start is under way, or was cut off, is `absent`.
 *
 * @param databasePath - absolute; it may lie elsewhere
 * @throws UserError `unavailable` when some of it is there and some is not: a late mount, or a loss (S7)
 */
export async function inspectHouse(dataDir: string, databasePath: string): Promise<HouseState> {
  if (await exists(join(dataDir, 'run', marker))) return 'absent';
  const parts = ['cpm.db', ...folders.map((folder) => `${folder}/`)];
  const paths = [databasePath, ...folders.map((folder) => join(dataDir, folder))];
  const there = await Promise.all(paths.map(exists));
  const found = parts.filter((_, index) => there[index]);
  if (found.length === 0) return 'absent';
  if (found.length === parts.length) return 'complete';
  const missing = parts.filter((_, index) => !there[index]);
  throw new UserError(
    'unavailable',
    `${dataDir} is half a data directory: ${found.join(', ')} there, ${missing.join(', ')} missing; nothing was created`,
    { hint: 'is a disk not mounted? mount it, restore a backup, or name another --data-dir' },
  );
}

/** Clears away what a first start made that a crash cut off. Only for the process that has locked the data directory. */
export async function clearCutOff(dataDir: string, databasePath: string): Promise<void> {
  if (!(await exists(join(dataDir, 'run', marker)))) return;
  for (const folder of folders) await rm(join(dataDir, folder), { recursive: true, force: true });
  for (const end of ['', '-wal', '-shm']) await rm(`${databasePath}${end}`, { force: true });
  await rm(join(dataDir, 'run', marker));
}

/** Has the next start clear what this first start made. */
export async function markCutOff(dataDir: string): Promise<void> {
  await writeDurably(join(dataDir, 'run', marker), '', 0o600);
}

/** Begins a first start: until `finishHouse`, the next start clears what this one made. */
export async function beginHouse(dataDir: string): Promise<void> {
  await mkdir(join(dataDir, 'run'), { recursive: true, mode: 0o700 });
  // The folder may be there already, made by somebody who left it open to others.
  await chmod(dataDir, 0o700);
  await markCutOff(dataDir);
  for (const folder of folders) await mkdir(join(dataDir, folder), { mode: 0o700 });
}

export async function finishHouse(dataDir: string): Promise<void> {
  await syncDirectory(dataDir);
  await rm(join(dataDir, 'run', marker));
  await syncDirectory(join(dataDir, 'run'));
}

/**
 * Folders that every start needs and that hold nothing of worth.
 *
 * @returns the empty directory that children have as their HOME
 */
export async function ensureScratch(dataDir: string): Promise<string> {
  const emptyHome = join(dataDir, 'run', 'home');
  await mkdir(emptyHome, { recursive: true, mode: 0o700 });
  await mkdir(join(dataDir, 'hooks.d'), { recursive: true, mode: 0o700 });
  // What a crash left of a visit to another server, a code's private key in it.
  for (const name of await readdir(join(dataDir, 'run'))) {
    if (!/^(join|visit)-/.test(name)) continue;
    await rm(join(dataDir, 'run', name), { recursive: true, force: true });
  }
  return emptyHome;
}

/**
 * The operator is who owns the data directory (S30).
 *
 * @returns whether there is such a folder
 * @throws UserError `denied` for anybody but its owner, root included
 */
export async function checkOwner(dataDir: string): Promise<boolean> {
  const found = await stat(dataDir).catch(() => undefined);
  const uid = process.geteuid?.();
  if (found === undefined || uid === undefined || uid === found.uid) return found !== undefined;
  const owner = await accountOf(found.uid);
  throw new UserError('denied', `the data directory ${dataDir} belongs to ${owner}`, {
    hint: `run it as its owner: sudo -u ${owner} cpm --data-dir ${dataDir} …`,
  });
}

/** How sudo names an account. */
async function accountOf(uid: number): Promise<string> {
  const accounts = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const line = accounts.split('\n').find((each) => each.split(':')[2] === String(uid));
  return line?.split(':')[0] ?? `'#${uid}'`;
}

/** @throws UserError `not_found` without a data directory, `denied` for anybody but its owner */
export async function checkOperator(dataDir: string): Promise<void> {
  const entries = (await checkOwner(dataDir)) ? await readdir(dataDir) : [];
  if (entries.includes('keys') || entries.includes('repositories')) return;
  throw new UserError('not_found', `no data directory at ${dataDir}`, {
    hint: 'name it with --data-dir DIR, or make one with: cpm serve',
  });
}

/**
 * Reads a private key, if nobody else can.
 *
 * @throws UserError `unavailable` with the `chmod` to run when its mode is too loose, or when it is missing
 */
export async function readPrivateKey(path: string): Promise<string> {
  const found = await lstat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UserError('unavailable', `private key ${path}: ${cause.code ?? 'unreadable'}`, {
      cause,
    });
  });
  if ((found.mode & 0o077) !== 0) {
    throw new UserError('unavailable', `private key ${path} can be read by others`, {
      hint: `run: chmod 600 ${path}`,
    });
  }
  return readFile(path, 'utf8');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
