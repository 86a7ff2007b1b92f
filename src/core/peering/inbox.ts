import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { quoted } from '../../model/repo.ts';
import {
  type RefList,
  type RefsFile,
  readRefsFile,
  refsDigest,
  UnknownList,
} from '../../model/sync-refs.ts';
import { openPlain, sha256Of } from '../../programs/pack.ts';
import { Outdated } from './outdated.ts';
import { fileNames, type Manifest } from './snapshot.ts';

type FileHandle = Awaited<ReturnType<typeof openPlain>>;

/** The files of a session after they were checked (admission A1 to A3). */
export interface Received extends RefsFile {
  /** Open, at its beginning; undefined where no objects came. */
  readonly pack: FileHandle | undefined;
}

const longestManifest = 4096;
const longestRefs = 256 * 1024 * 1024;

/**
 * Reads what another server put into a session directory, which may be anything. Each file is opened once, without
 * following links, and what is checked is what is used.
 *
 * @param known - the list that the refs may be changes of
 * @throws UserError `corrupt`
 */
export async function readInbox(
  folder: string,
  known: { digest: string; refs: RefList } | undefined,
): Promise<Received> {
  const manifest = await readManifest(folder);
  const expected = [
    fileNames.manifest,
    fileNames.refs,
    ...(manifest.pack === null ? [] : [manifest.pack.name]),
  ];
  for (const name of await readdir(folder)) {
    if (!expected.includes(name)) throw corrupt(`${quoted(name)} does not belong there`);
  }
  const text = await readText(folder, fileNames.refs, longestRefs);
  if (sum(text) !== manifest.refs.sha256) throw corrupt('the list of refs is damaged');
  const list = readList(text.toString(), known);
  if (refsDigest(list.refs) !== manifest.digest) throw corrupt('the list of refs does not add up');
  return { ...list, pack: await openPack(folder, manifest) };
}

async function readManifest(folder: string): Promise<Manifest> {
  const text = String(await readText(folder, fileNames.manifest, longestManifest));
  try {
    const { version, digest, refs, pack } = JSON.parse(text) as Manifest;
    const sums = [digest, refs.sha256, ...(pack === null ? [] : [pack.sha256])];
    if (version !== 1 || sums.some((each) => !/^[0-9a-f]{64}$/.test(each))) throw new Error('form');
    if (pack !== null && pack.name !== `pack-${pack.sha256}.pack`) throw new Error('name');
    return { version, digest, refs, pack };
  } catch (cause) {
    throw corrupt('its manifest is none', cause);
  }
}

function readList(text: string, known: { digest: string; refs: RefList } | undefined) {
  try {
    return readRefsFile(text, known);
  } catch (cause) {
    if (cause instanceof UnknownList) {
      throw new Outdated(cause);
    }
    throw corrupt(`the list of refs is none: ${(cause as Error).message}`, cause);
  }
}

async function openPack(folder: string, { pack }: Manifest): Promise<FileHandle | undefined> {
  if (pack === null) return undefined;
  const file = await openChecked(folder, pack.name);
  if ((await sha256Of(file)) === pack.sha256) return file;
  await file.close();
  throw corrupt('the pack is damaged');
}

async function openChecked(folder: string, name: string): Promise<FileHandle> {
  return openPlain(join(folder, name)).catch((cause: Error) => {
    throw corrupt(`${name}: ${cause.message}`, cause);
  });
}

async function readText(folder: string, name: string, longest: number): Promise<Buffer> {
  const file = await openChecked(folder, name);
  try {
    const { size } = await file.stat();
    if (size > longest) throw corrupt(`${name} is too long`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function sum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What was sent is not what it should be; nothing was changed. */
export function corrupt(why: string, cause?: unknown): UserError {
  return new UserError('corrupt', `what was sent is not taken: ${why}; nothing was changed`, {
    cause,
  });
}
