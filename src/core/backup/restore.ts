import { chmod, copyFile, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { generateEd25519 } from '../../model/ed25519.ts';
import { UserError } from '../../model/errors.ts';
import { buildBare, placeBare, syncDirectory } from '../../programs/bare.ts';
import { readBundle } from '../../programs/bundle.ts';
import { writeDurably } from '../../programs/files.ts';
import { type Git, openGit } from '../../programs/git.ts';
import type { Repository } from '../../store/repositories.ts';
import { openStore, type Store } from '../../store/store.ts';
import { serverKeys } from '../first-start.ts';
import { beginHouse, clearCutOff, ensureScratch, finishHouse, inspectHouse } from '../house.ts';
import { takeHouse } from '../house-lock.ts';
import {
  bundlePath,
  databaseFile,
  faultsOf,
  hooksFolder,
  type Manifest,
  readManifest,
  sealedFile,
} from './manifest.ts';
import { type Sealed, unseal } from './sealed.ts';

/** A key that would sign in again, for the operator to look through. */
export interface RestoredKey {
  readonly owner: string;
  readonly fingerprint: string;
  readonly title: string;
}

export interface RestoreReport {
  readonly id: string;
  readonly repositories: number;
  readonly keys: readonly RestoredKey[];
  readonly confirmed: boolean;
  /** Whether the server has new keys of its own, because the backup had none. */
  readonly newKeys: boolean;
}

export interface RestoreOptions {
  /** Absolute path of the backup. */
  readonly from: string;
  readonly confirmKeys: boolean;
  /** Looks whether it could be done. */
  readonly dryRun: boolean;
  /** Asked for where the backup has private keys. */
  passphrase(): Promise<string>;
  readonly signal: AbortSignal;
}

/**
 * Makes a data directory out of a backup. Until its end the place counts as empty: a crash leaves what the next restore,
 * or the next start, clears away.
 *
 * @throws UserError `conflict` where a data directory is; `corrupt` for a damaged backup, when nothing was made
 */
export async function restoreBackup(
  config: Config,
  options: RestoreOptions,
): Promise<RestoreReport> {
  const { dataDir, databasePath } = config;
  const { from } = options;
  const manifest = await readManifest(from);
  const [fault, ...more] = await faultsOf(from, manifest);
  if (fault !== undefined) {
    const also = more.length > 0 ? `, and ${more.length} more` : '';
    throw new UserError('corrupt', `the backup is damaged: ${fault}${also}`, {
      hint: `see all of it with: cpm backup verify ${from}`,
    });
  }
  const keys = await privateKeys(manifest, options);
  if (options.dryRun) {
    const { id, repositories } = manifest;
    const found = { id, repositories: repositories.length, keys: [] };
    return { ...found, confirmed: options.confirmKeys, newKeys: keys === undefined };
  }
  const lock = await takeHouse(dataDir, 0);
  try {
    await clearCutOff(dataDir, databasePath);
    if ((await inspectHouse(dataDir, databasePath)) === 'complete') throw taken(dataDir);
    await beginHouse(dataDir);
    try {
      const report = await fill(config, { ...options, manifest, keys });
      await finishHouse(dataDir);
      return report;
    } catch (error) {
      await clearCutOff(dataDir, databasePath);
      throw error;
    }
  } finally {
    lock.release();
  }
}

function taken(dataDir: string): UserError {
  return new UserError('conflict', `${dataDir} is a data directory already`, {
    hint: 'restore into a new one: --data-dir DIR',
  });
}

async function privateKeys(
  { files }: Manifest,
  { from, passphrase }: RestoreOptions,
): Promise<Readonly<Record<string, string>> | undefined> {
  if (!files.some(({ path }) => path === sealedFile)) return undefined;
  const sealed = JSON.parse(await readFile(join(from, sealedFile), 'utf8')) as Sealed;
  return unseal(sealed, await passphrase());
}

interface Filling extends RestoreOptions {
  readonly manifest: Manifest;
  readonly keys: Readonly<Record<string, string>> | undefined;
}

async function fill(
  config: Config,
  { manifest, keys, from, confirmKeys, signal }: Filling,
): Promise<RestoreReport> {
  const { dataDir, databasePath } = config;
  const emptyHome = await ensureScratch(dataDir);
  await mkdir(dirname(databasePath), { recursive: true, mode: 0o700 });
  await copyFile(join(from, databaseFile), databasePath);
  await writeKeys(join(dataDir, 'keys'), { from: join(from, 'keys'), keys });
  for (const name of await readdir(join(from, hooksFolder)).catch(() => [])) {
    const script = join(dataDir, hooksFolder, name);
    await copyFile(join(from, hooksFolder, name), script);
    const { mode } = await stat(join(from, hooksFolder, name));
    await chmod(script, mode & 0o700);
  }
  const store = await openStore(databasePath);
  try {
    const git = await openGit({ houseId: store.houseId, emptyHome });
    const bundles = new Map(manifest.repositories.map(({ id, bundle }) => [id, bundle]));
    let repositories = 0;
    for await (const { repo, directory } of placesOf(store, dataDir)) {
      const file = bundles.get(repo.id) === true ? join(from, bundlePath(repo.id)) : undefined;
      await rebuild(git, directory, { repo, file, signal });
      repositories += 1;
    }
    const by = { principal: 'operator', keyId: undefined, request: 'restore', dryRun: false };
    await store.restored.begin(manifest.id, confirmKeys, by);
    const shown = await keysOf(store);
    const newKeys = keys === undefined;
    return { id: manifest.id, repositories, keys: shown, confirmed: confirmKeys, newKeys };
  } finally {
    await store.close();
  }
}

/** Private keys as the backup had them; without them, new ones in the places of the three that a server needs. */
async function writeKeys(
  folder: string,
  { from, keys }: { from: string; keys: Readonly<Record<string, string>> | undefined },
): Promise<void> {
  const names = keys === undefined ? [] : await readdir(from).catch(() => []);
  for (const name of names) {
    await writeDurably(join(folder, name), await readFile(join(from, name), 'utf8'), 0o644);
  }
  for (const [name, text] of Object.entries(keys ?? {})) {
    if (!name.includes('/')) await writeDurably(join(folder, name), text, 0o600);
  }
  for (const name of serverKeys) {
    if (keys?.[name] !== undefined) continue;
    const pair = generateEd25519(`cpm ${name}`);
    await writeDurably(join(folder, name), pair.privateKey, 0o600);
    await writeDurably(join(folder, `${name}.pub`), `${pair.publicLine}\n`, 0o644);
  }
}

const pageRows = 500;

async function* placesOf(
  store: Store,
  dataDir: string,
): AsyncGenerator<{ repo: Repository; directory: string }> {
  for (let after = { namespace: '', name: '' }; ; ) {
    const page = await store.repositories.page({ kind: 'all' }, { after, limit: pageRows });
    for (const repo of page) {
      yield { repo, directory: join(dataDir, 'repositories', `${repo.fullName}.git`) };
    }
    const last = page.at(-1);
    if (last === undefined) break;
    after = last;
  }
  for (let after = { deletedAt: '', id: '' }; ; ) {
    const page = await store.trash.page({ kind: 'all' }, { after, limit: pageRows });
    for (const repo of page) yield { repo, directory: join(dataDir, 'trash', `${repo.id}.git`) };
    const last = page.at(-1);
    if (last === undefined) return;
    after = last;
  }
}

async function rebuild(
  git: Git,
  directory: string,
  { repo, file, signal }: { repo: Repository; file: string | undefined; signal: AbortSignal },
): Promise<void> {
  const staged = `${directory}.new`;
  await mkdir(dirname(directory), { recursive: true, mode: 0o700 });
  await buildBare(staged, { defaultBranch: repo.defaultBranch, repoId: repo.id });
  const fault = file && (await readBundle(git, staged, { file, signal }));
  if (fault !== undefined) {
    throw new UserError('corrupt', `the backup is damaged: ${repo.fullName}: ${fault}`);
  }
  await placeBare(staged, directory);
  await rm(staged, { recursive: true, force: true });
  await syncDirectory(dirname(directory));
}

/** Every key that would sign in: people's, deploy keys, and those of other servers. */
async function keysOf(store: Store): Promise<RestoredKey[]> {
  const found: RestoredKey[] = [];
  for (const print of await store.keys.beginning('SHA256:', Number.MAX_SAFE_INTEGER)) {
    for (const key of await store.keys.withFingerprint(print)) {
      if (key.state !== 'active') continue;
      const user = key.userId === undefined ? undefined : await store.users.byId(key.userId);
      if (key.userId !== undefined && user?.state !== 'active') continue;
      const owner = user?.name ?? `key:${print}`;
      found.push({ owner, fingerprint: print, title: key.title });
    }
  }
  for (const server of await store.servers.list()) {
    for (const { fingerprint } of await store.servers.keysOf(server.id)) {
      found.push({ owner: `server:${server.name}`, fingerprint, title: '' });
    }
  }
  return found.sort((a, b) => (a.owner < b.owner ? -1 : 1));
}
