import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import {
  longestFile,
  readPlainHeader,
  tarEndBytes,
  tarHeader,
  tarPadding,
} from '../../model/ustar.ts';
import { corrupt } from './inbox.ts';
import { fileNames } from './snapshot.ts';

/** The files of a session as one archive, as tar carries them where a side has no rsync. */
export interface Bundle {
  /** Made of its content: an archive that broke off goes on only with the same one. */
  readonly id: string;
  readonly bytes: number;
  readonly files: readonly { readonly name: string; readonly sizeBytes: number }[];
}

/** Bytes of one header and of the end, more than any session's three of them. */
const overheadBytes = 8 * 1024;
const partShape = /^bundle-([0-9a-f]{64})-(\d{1,15})\.tar\.part$/;
const packShape = /^pack-[0-9a-f]{64}\.pack$/;

/** The archive that the files of a session make. @throws UserError `unavailable` for a pack that is too big for it */
export async function describeBundle(folder: string): Promise<Bundle> {
  const names = (await readdir(folder)).filter(isMember).sort();
  const files: { name: string; sizeBytes: number }[] = [];
  for (const name of names) {
    const sizeBytes = (await stat(join(folder, name))).size;
    if (sizeBytes > longestFile) {
      throw new UserError('unavailable', 'a pack of 8 GB and more is nothing that tar can carry', {
        hint: 'install rsync 3.2.7 or newer on both machines',
      });
    }
    files.push({ name, sizeBytes });
  }
  const sizes = files.map(({ sizeBytes }) => 512 + sizeBytes + tarPadding(sizeBytes));
  const bytes = sizes.reduce((sum, size) => sum + size, tarEndBytes);
  const manifest = await readFile(join(folder, fileNames.manifest));
  return { id: createHash('sha256').update(manifest).digest('hex'), bytes, files };
}

function isMember(name: string): boolean {
  return name === fileNames.manifest || name === fileNames.refs || packShape.test(name);
}

/** The bytes of an archive, from an offset on. */
export async function* readBundle(
  folder: string,
  { files }: Bundle,
  offset: number,
): AsyncGenerator<Buffer> {
  let at = 0;
  const from = (bytes: Buffer): Buffer => {
    const begin = Math.max(0, offset - at);
    at += bytes.length;
    return bytes.subarray(begin);
  };
  for (const { name, sizeBytes } of files) {
    yield from(tarHeader(name, sizeBytes));
    const start = Math.min(sizeBytes, Math.max(0, offset - at));
    at += start;
    if (start < sizeBytes) {
      for await (const chunk of createReadStream(join(folder, name), { start })) {
        at += chunk.length;
        yield chunk;
      }
    }
    yield from(Buffer.alloc(tarPadding(sizeBytes)));
  }
  yield from(Buffer.alloc(tarEndBytes));
}

/** An archive that arrives, as far as it is there. */
export interface Part {
  readonly path: string;
  /** Bytes of the whole archive. */
  readonly bytes: number;
  /** Bytes that are there. */
  readonly offset: number;
}

/**
 * Makes ready for an archive in a session: what is there of the same one is kept, anything else removed.
 *
 * @throws UserError `unavailable` for one that is bigger than the session may be
 */
export async function expectBundle(
  folder: string,
  { id, bytes }: Pick<Bundle, 'id' | 'bytes'>,
  limitBytes: number,
): Promise<Part> {
  const name = `bundle-${id}-${bytes}.tar.part`;
  if (!partShape.test(name)) throw new UserError('usage', 'an archive is not called so');
  if (bytes > limitBytes + overheadBytes) {
    throw new UserError('unavailable', 'it is bigger than there is room for');
  }
  for (const other of await readdir(folder)) {
    if (other !== name) await rm(join(folder, other), { recursive: true, force: true });
  }
  const path = join(folder, name);
  const file = await open(
    path,
    constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW,
    0o600,
  );
  await file.close();
  return { path, bytes, offset: (await stat(path)).size };
}

/** The archive that a session waits for. @throws UserError `usage` when it waits for none, or for more than `offset` */
export async function awaitedBundle(folder: string, offset: number): Promise<Part> {
  const name = (await readdir(folder)).find((each) => partShape.test(each));
  const [, , bytes] = partShape.exec(name ?? '') ?? [];
  if (name === undefined) throw new UserError('usage', 'nothing was said of an archive to come');
  const path = join(folder, name);
  const { size } = await stat(path);
  if (size === offset) return { path, bytes: Number(bytes), offset };
  throw new UserError('usage', `${size} bytes of it are here, not ${offset}`);
}

/**
 * Appends what arrives to an archive, and unpacks it once it is whole.
 *
 * @param onBytes - hears how many bytes are there, and may hold up what comes next
 * @throws UserError `corrupt` for more than was announced, and for what is no such archive; `unavailable` for less
 */
export async function receiveBundle(
  folder: string,
  { path, bytes, offset }: Part,
  input: AsyncIterable<Buffer>,
  onBytes: (there: number, chunk: number) => Promise<void>,
): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_APPEND);
  let there = offset;
  try {
    for await (const chunk of input) {
      if (there + chunk.length > bytes) throw corrupt('more came than was announced');
      await file.writeFile(chunk);
      there += chunk.length;
      await onBytes(there, chunk.length);
    }
  } finally {
    await file.close();
  }
  if (there < bytes) throw new UserError('unavailable', 'the archive broke off');
  try {
    await unpack(folder, path);
  } finally {
    // What is no archive would be none again the next time.
    await rm(path);
  }
}

/** Writes the files of an archive beside it: plain ones of the three names, each once, and nothing else. */
async function unpack(folder: string, path: string): Promise<void> {
  const archive = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const seen = new Set<string>();
  try {
    for (let at = 0; ; ) {
      const entry = readPlainHeader(await block(archive, at), at);
      at += 512;
      if (entry === undefined) return await checkEnd(archive, at);
      const { name, sizeBytes } = entry;
      if (!isMember(name) || seen.has(name)) throw corrupt('the archive has files of other names');
      seen.add(name);
      await extract(archive, { from: at, sizeBytes }, join(folder, name));
      at += sizeBytes + tarPadding(sizeBytes);
    }
  } catch (cause) {
    if (cause instanceof UserError && cause.code === 'usage') throw corrupt(cause.message, cause);
    throw cause;
  } finally {
    await archive.close();
  }
}

async function extract(
  archive: FileHandle,
  { from, sizeBytes }: { from: number; sizeBytes: number },
  path: string,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    let written = 0;
    if (sizeBytes > 0) {
      const range = { fd: archive, autoClose: false, start: from, end: from + sizeBytes - 1 };
      for await (const chunk of createReadStream('', range)) {
        await file.writeFile(chunk);
        written += chunk.length;
      }
    }
    if (written < sizeBytes) throw corrupt('the archive is cut off');
  } finally {
    await file.close();
  }
}

async function block(archive: FileHandle, at: number): Promise<Buffer> {
  const { buffer, bytesRead } = await archive.read(Buffer.alloc(512), 0, 512, at);
  return buffer.subarray(0, bytesRead);
}

/** The second empty block, and the end of the file. */
async function checkEnd(archive: FileHandle, at: number): Promise<void> {
  const last = await block(archive, at);
  const { size } = await archive.stat();
  if (last.length === 512 && last.every((byte) => byte === 0) && size === at + 512) return;
  throw corrupt('the archive does not end where it should');
}
