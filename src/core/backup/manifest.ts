import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UserError } from '../../model/errors.ts';

export const manifestFile = 'manifest.json';
export const databaseFile = 'cpm.db';
export const sealedFile = 'keys.sealed.json';
export const configFile = 'config.yaml';
export const hooksFolder = 'hooks.d';
export const bundlesFolder = 'repositories';

/** One file of a backup. */
export interface ManifestFile {
  /** Relative to the backup, with slashes. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What a backup holds. It is written last: a backup without one is none. */
export interface Manifest {
  readonly version: 1;
  /** A UUID: of this backup. */
  readonly id: string;
  readonly house_id: string;
  readonly created_at: string;
  readonly files: readonly ManifestFile[];
  /** Repositories by id; `bundle` is false for one without refs. */
  readonly repositories: readonly { readonly id: string; readonly bundle: boolean }[];
}

export function bundlePath(id: string): string {
  return `${bundlesFolder}/${id}.bundle`;
}

/** Measures a file of a backup. */
export async function measure(folder: string, path: string): Promise<ManifestFile> {
  const hash = createHash('sha256');
  let bytes = 0;
  await pipeline(createReadStream(join(folder, path)), async (chunks) => {
    for await (const chunk of chunks) {
      hash.update(chunk);
      bytes += (chunk as Buffer).length;
    }
  });
  return { path, bytes, sha256: hash.digest('hex') };
}

/** @throws UserError `usage` where there is no backup */
export async function readManifest(folder: string): Promise<Manifest> {
  const text = await readFile(join(folder, manifestFile), 'utf8').catch((cause) => {
    throw new UserError('usage', `${folder} is no backup: it has no ${manifestFile}`, {
      hint: 'name the directory that backup create made',
      cause,
    });
  });
  try {
    const manifest = JSON.parse(text) as Manifest;
    if (manifest.version === 1 && manifest.files.every(isFile)) return manifest;
  } catch (cause) {
    throw new UserError('corrupt', `${manifestFile} can't be read`, { cause });
  }
  throw new UserError('corrupt', `${manifestFile} is of a kind that is not known here`);
}

const pathShape =
  /^(?:cpm\.db|keys\.sealed\.json|config\.yaml|(?:keys|hooks\.d|repositories)\/(?!\.)[^/\0]{1,200})$/;

function isFile({ path, sha256 }: ManifestFile): boolean {
  return pathShape.test(path) && /^[0-9a-f]{64}$/.test(sha256);
}

/** What is missing from a backup, or is not as it was written: a sentence each. */
export async function faultsOf(folder: string, { files }: Manifest): Promise<string[]> {
  const faults: string[] = [];
  for (const wanted of files) {
    const found = await lstat(join(folder, wanted.path)).catch(() => undefined);
    if (found?.isFile() !== true) faults.push(`${wanted.path} is missing`);
    else if ((await measure(folder, wanted.path)).sha256 !== wanted.sha256) {
      faults.push(`${wanted.path} is not as it was written`);
    }
  }
  return faults;
}
