import { chmod, lstat, readdir, rm, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { sizeText } from '../../model/units.ts';
import type { Core } from '../core.ts';
import { readPrivateKey } from '../house.ts';
import { measureSpace } from '../space.ts';
import { type Finding, fail, ok, some } from './finding.ts';

/** Files and folders of the data directory that others may open. With `fix` they no longer may. */
export async function checkModes({ config }: Core, fix: boolean): Promise<Finding> {
  const { dataDir, databasePath } = config;
  const places = [dataDir, databasePath, `${databasePath}-wal`, `${databasePath}-shm`];
  for (const folder of ['keys', 'repositories', 'trash', 'incoming', 'hooks.d', 'run']) {
    places.push(join(dataDir, folder), ...(await entriesOf(join(dataDir, folder))));
  }
  for (const folder of await entriesOf(join(dataDir, 'repositories'))) {
    places.push(...(await entriesOf(folder)));
  }
  const open: string[] = [];
  for (const path of places) {
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined || found.isSymbolicLink() || found.isSocket()) continue;
    const isPublic = path.startsWith(join(dataDir, 'keys')) && path.endsWith('.pub');
    const loose = found.mode & (isPublic ? 0o022 : 0o077);
    if (loose === 0) continue;
    open.push(relative(dataDir, path) || dataDir);
    if (fix) await chmod(path, found.mode & 0o777 & ~loose);
  }
  if (open.length === 0) return ok('modes', 'nobody else may open anything');
  const detail = `others may open ${some(open)}`;
  const finding = fail('modes', detail, `run: cpm doctor --fix, or chmod -R go= ${dataDir}`);
  return fix ? { ...finding, state: 'ok', mended: true } : finding;
}

async function entriesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.map((name) => join(folder, name));
}

/** The keys that this server shows, signs in and signs with. */
export async function checkKeys({ config }: Core): Promise<Finding> {
  const sign = join(config.dataDir, 'keys', 'sign_ed25519');
  for (const path of [...config.hostKeyPaths, config.sshKeyPath, sign]) {
    try {
      await readPrivateKey(path);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return fail('keys', error.message, error.hint ?? 'put it back from a backup');
    }
  }
  return ok('keys', 'host key, sign-in key and signing key can be read');
}

/** Free space against the reserve below which nothing is taken. */
export async function checkDisk({ config }: Core): Promise<Finding> {
  const { freeBytes } = await measureSpace(config);
  const reserve = config.values['limits.disk_reserve'];
  if (freeBytes >= reserve) return ok('disk', `${sizeText(freeBytes)} free`);
  return fail(
    'disk',
    `${sizeText(freeBytes)} free, and limits.disk_reserve is ${sizeText(reserve)}: no push is taken`,
    'make room, or lower it: cpm config set limits.disk_reserve 500M',
  );
}

/** Older than any work that could still be under way. */
const staleMs = 24 * 3_600_000;

/** What a crash left and no start has cleared. With `fix` it is cleared. */
export async function checkLeftovers({ config }: Core, fix: boolean): Promise<Finding> {
  const { dataDir } = config;
  const repositories = join(dataDir, 'repositories');
  const found = await staleIn(join(dataDir, 'incoming'), () => true);
  for (const namespace of await entriesOf(repositories)) {
    found.push(...(await staleIn(namespace, (name) => /\.new-[0-9a-f-]{36}$/.test(name))));
  }
  if (found.length === 0) return ok('leftovers', 'none');
  if (fix) for (const path of found) await rm(path, { recursive: true, force: true });
  const names = found.map((path) => relative(dataDir, path));
  const finding = fail('leftovers', `from before yesterday: ${some(names)}`, 'cpm doctor --fix');
  return fix ? { ...finding, state: 'ok', mended: true } : finding;
}

async function staleIn(folder: string, isOurs: (name: string) => boolean): Promise<string[]> {
  const stale: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!isOurs(name)) continue;
    const { mtimeMs } = await stat(join(folder, name)).catch(() => ({ mtimeMs: Date.now() }));
    if (mtimeMs < Date.now() - staleMs) stale.push(join(folder, name));
  }
  return stale;
}
