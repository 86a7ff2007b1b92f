import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buildBare } from '../../programs/bare.ts';
import { readBundle } from '../../programs/bundle.ts';
import { inspectCopy } from '../../store/copies.ts';
import type { Core } from '../core.ts';
import { bundlePath, databaseFile, faultsOf, readManifest } from './manifest.ts';

/** What a look at a backup found. */
export interface Verified {
  readonly id: string;
  readonly createdAt: string;
  readonly repositories: number;
  readonly bytes: number;
  /** A sentence each; empty for a backup that can be restored. */
  readonly faults: readonly string[];
}

/**
 * Looks through all of a backup: every file by its sum, the database by SQLite, every bundle by unpacking it.
 *
 * @throws UserError `usage` where there is none
 */
export async function verifyBackup(
  core: Pick<Core, 'config' | 'git'>,
  folder: string,
  signal: AbortSignal,
): Promise<Verified> {
  const manifest = await readManifest(folder);
  const faults = await faultsOf(folder, manifest);
  const { repositories, faults: torn } = inspectCopy(join(folder, databaseFile));
  faults.push(...torn.map((fault) => `${databaseFile}: ${fault}`));
  const held = new Map(manifest.repositories.map(({ id, bundle }) => [id, bundle]));
  const scratch = join(core.config.dataDir, 'incoming', `verify-${randomUUID()}`);
  for (const { id } of repositories) {
    signal.throwIfAborted();
    const bundle = held.get(id);
    if (bundle === undefined) faults.push(`repository ${id} is in the database alone`);
    if (bundle !== true || faults.some((fault) => fault.startsWith(bundlePath(id)))) continue;
    try {
      await buildBare(scratch, { defaultBranch: 'main', repoId: id });
      const file = join(folder, bundlePath(id));
      const fault = await readBundle(core.git, scratch, { file, signal });
      if (fault !== undefined) faults.push(`${bundlePath(id)}: ${fault}`);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  const { id, created_at: createdAt } = manifest;
  return { id, createdAt, repositories: repositories.length, bytes, faults };
}
