import { randomUUID } from 'node:crypto';
import {
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { syncDirectory } from '../../programs/bare.ts';
import { isEmptyDirectory, makeBundle } from '../../programs/bundle.ts';
import { writeDurably } from '../../programs/files.ts';
import { type CopiedRepository, inspectCopy } from '../../store/copies.ts';
import type { Core } from '../core.ts';
import {
  bundlePath,
  bundlesFolder,
  configFile,
  databaseFile,
  hooksFolder,
  type Manifest,
  manifestFile,
  measure,
  sealedFile,
} from './manifest.ts';
import { seal } from './sealed.ts';

export interface BackupOptions {
  /** Absolute path of what is not there yet, or empty. */
  readonly to: string;
  /** Encrypts the private keys; without it they are not in the backup. */
  readonly passphrase: string | undefined;
  readonly signal: AbortSignal;
  /** Builds it all, and takes it away again. */
  readonly dryRun: boolean;
}

/**
 * Copies a data directory that is in use. The database is copied as of one moment, then each repository as of a moment
 * after that: so what the record tells of is there, and a push in between is found like one made on the disk. It is all
 * built under a name of its own and renamed: a crash leaves nothing, or a `….partial-` folder that the next run clears.
 *
 * @throws UserError `conflict` where something is already
 */
export async function createBackup(core: Core, options: BackupOptions): Promise<Manifest> {
  const { to } = options;
  const { dataDir } = core.config;
  if (!relative(dataDir, to).startsWith('..')) {
    throw new UserError('usage', 'a backup does not belong into the data directory', {
      hint: 'name a place on another disk',
    });
  }
  if (!(await isEmptyDirectory(to))) {
    throw new UserError('conflict', `${to}: something is there already`, {
      hint: 'each backup has a directory of its own: name a new one',
    });
  }
  await clearPartial(to);
  const folder = `${to}.partial-${randomUUID()}`;
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  await mkdir(folder, { mode: 0o700 });
  try {
    await writeFile(join(folder, 'pid'), `${process.pid}\n`, { mode: 0o600 });
    const repositories = await copyAll(core, folder, options);
    const manifest = await describe(core, folder, repositories);
    await rm(join(folder, 'pid'));
    await syncDirectory(folder);
    if (options.dryRun) return manifest;
    await rename(folder, to);
    await syncDirectory(dirname(to));
    return manifest;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Takes away what runs that were killed left of a backup in this place. */
async function clearPartial(to: string): Promise<void> {
  const names = await readdir(dirname(to)).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(`${basename(to)}.partial-`))) {
    const folder = join(dirname(to), name);
    const pid = Number(await readFile(join(folder, 'pid'), 'utf8').catch(() => ''));
    if (!isAlive(pid)) await rm(folder, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch {
    // ESRCH: nobody has this number.
    return false;
  }
}

async function copyAll(
  core: Core,
  folder: string,
  options: BackupOptions,
): Promise<Manifest['repositories']> {
  const { dataDir, file } = core.config;
  await mkdir(join(folder, bundlesFolder), { mode: 0o700 });
  for (let tries = 3; ; tries -= 1) {
    const database = join(folder, databaseFile);
    await rm(database, { force: true });
    await core.store.copy(database);
    const { repositories, faults } = inspectCopy(database);
    if (faults.length > 0) {
      throw new UserError('corrupt', `the database is damaged: ${faults.join('; ')}`);
    }
    const copied = await copyRepositories(core, folder, { repositories, ...options });
    if (copied !== undefined) {
      await copyFiles(join(dataDir, hooksFolder), join(folder, hooksFolder), () => true);
      const keys = join(dataDir, 'keys');
      await copyFiles(keys, join(folder, 'keys'), (name) => name.endsWith('.pub'));
      await copyFile(file, join(folder, configFile)).catch(() => undefined);
      if (options.passphrase !== undefined) await sealKeys(keys, folder, options.passphrase);
      return copied;
    }
    if (tries === 1) {
      throw new UserError('unavailable', 'repositories were removed for good meanwhile', {
        hint: 'try again when the trash is not being emptied',
      });
    }
  }
}

/** @returns undefined where a repository that the copied database has was removed for good since */
async function copyRepositories(
  core: Core,
  folder: string,
  {
    repositories,
    signal,
  }: Pick<BackupOptions, 'signal'> & { repositories: readonly CopiedRepository[] },
): Promise<Manifest['repositories'] | undefined> {
  const copied: { id: string; bundle: boolean }[] = [];
  for (const { id } of repositories) {
    signal.throwIfAborted();
    const bundle = await copyOne(core, id, { file: join(folder, bundlePath(id)), signal });
    if (bundle === undefined) return undefined;
    copied.push({ id, bundle });
  }
  return copied;
}

async function copyOne(
  core: Core,
  id: string,
  run: { file: string; signal: AbortSignal },
): Promise<boolean | undefined> {
  const { store, repos, trash, git } = core;
  await rm(run.file, { force: true });
  const repo = await store.repositories.byId(id);
  if (repo !== undefined) {
    const release = await repos.hold(repo, run.signal);
    try {
      return await makeBundle(git, repos.directory(repo), run);
    } finally {
      release();
    }
  }
  const trashed = await store.trash.byId(id);
  return trashed && makeBundle(git, trash.directory(trashed), run);
}

async function copyFiles(
  from: string,
  to: string,
  wanted: (name: string) => boolean,
): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of await readdir(from).catch(() => [])) {
    const isFile = (await lstat(join(from, name))).isFile();
    if (isFile && wanted(name) && !name.startsWith('.')) {
      await copyFile(join(from, name), join(to, name));
    }
  }
}

async function sealKeys(keys: string, folder: string, passphrase: string): Promise<void> {
  const files: Record<string, string> = {};
  for (const name of await readdir(keys)) {
    const isFile = (await lstat(join(keys, name))).isFile();
    if (isFile && !name.endsWith('.pub')) files[name] = await readFile(join(keys, name), 'utf8');
  }
  await writeDurably(
    join(folder, sealedFile),
    JSON.stringify(await seal(files, passphrase)),
    0o600,
  );
}

async function describe(
  core: Core,
  folder: string,
  repositories: Manifest['repositories'],
): Promise<Manifest> {
  const paths: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = relative(folder, join(entry.parentPath, entry.name));
    if (entry.isDirectory()) await syncDirectory(join(folder, path));
    if (entry.isFile() && path !== 'pid') paths.push(path);
  }
  const files = [];
  for (const path of paths.sort()) {
    const file = await open(join(folder, path), 'r');
    await file.sync().finally(() => file.close());
    files.push(await measure(folder, path));
  }
  const manifest: Manifest = {
    version: 1,
    id: randomUUID(),
    house_id: core.store.houseId,
    created_at: new Date().toISOString(),
    files,
    repositories,
  };
  await writeDurably(join(folder, manifestFile), `${JSON.stringify(manifest, null, 1)}\n`, 0o600);
  return manifest;
}
