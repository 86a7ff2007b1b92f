import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './bare.ts';

/** Up to so many refs are looked up by halving; for more the file is read through once. */
const fewRefs = 16;

/** Bytes of one look into the file: longer than any two lines that git writes. */
const windowBytes = 16384;

/**
 * Looks refs up in packed-refs, however big it is. The file is opened once: git replaces it by a rename, so what
 * is read is one state of it.
 *
 * @returns by name; a ref that is not in it is absent
 */
export async function readPacked(
  directory: string,
  refs: readonly string[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const file = await openPacked(directory);
  if (file === undefined) return found;
  try {
    const head = await readAt(file, 0, windowBytes);
    if (refs.length <= fewRefs && isSorted(head)) {
      const { size } = await file.stat();
      for (const ref of refs) {
        const oid = await findPacked(file, size, ref);
        if (oid !== undefined) found.set(ref, oid);
      }
      return found;
    }
    const wanted = new Set(refs);
    for await (const entries of packedLines(file)) {
      for (const [oid, ref] of entries) if (wanted.has(ref)) found.set(ref, oid);
    }
    return found;
  } finally {
    await file.close();
  }
}

type Entry = readonly [oid: string, ref: string];

/**
 * Every ref in packed-refs with its oid, in the file's order, many at a time; none when there is no such file.
 */
export async function* allPacked(directory: string): AsyncGenerator<readonly Entry[]> {
  const file = await openPacked(directory);
  if (file === undefined) return;
  try {
    yield* packedLines(file);
  } finally {
    await file.close();
  }
}

async function openPacked(directory: string): Promise<FileHandle | undefined> {
  try {
    return await open(join(directory, 'packed-refs'), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** As many at a time as come with one piece of the file: to wait for each of thousands takes longer than to read them. */
async function* packedLines(file: FileHandle): AsyncGenerator<readonly Entry[]> {
  let rest: Buffer = Buffer.alloc(0);
  const input = createReadStream('', { fd: file, autoClose: false, start: 0 });
  for await (const chunk of input) {
    const bytes: Buffer = Buffer.concat([rest, chunk]);
    // Only "\n" ends a line: a ref's name may hold what Unicode calls a line separator.
    const end = bytes.lastIndexOf(0x0a) + 1;
    rest = bytes.subarray(end);
    yield entriesOf(bytes.toString('utf8', 0, end).split('\n'));
  }
}

/** Without the header and the peeled values of tags. */
function entriesOf(lines: readonly string[]): readonly Entry[] {
  const entries: Entry[] = [];
  for (const line of lines) {
    if (line[0] === '#' || line[0] === '^' || line[40] !== ' ') continue;
    entries.push([line.slice(0, 40), line.slice(41)]);
  }
  return entries;
}

/** git says in the header when its lines are in the order of their bytes. */
function isSorted(head: Buffer): boolean {
  const end = head.indexOf(0x0a);
  return /^# pack-refs with:.* sorted( |$)/.test(head.toString('latin1', 0, Math.max(end, 0)));
}

async function findPacked(
  file: FileHandle,
  size: number,
  ref: string,
): Promise<string | undefined> {
  const wanted = Buffer.from(ref);
  // Line beginnings before `low` sort below the ref, those at or behind `high` above it.
  let low = 0;
  let high = size;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const line = await lineFrom(file, middle, high);
    if (line === undefined) {
      high = middle;
      continue;
    }
    const order = line.name === undefined ? 1 : Buffer.compare(wanted, line.name);
    if (order === 0) return line.oid;
    if (order < 0) high = middle;
    else low = line.next;
  }
  return undefined;
}

interface Line {
  /** undefined for the header and peeled values. */
  readonly name: Buffer | undefined;
  readonly oid: string;
  readonly next: number;
}

/** The first line with a ref's name that begins at or behind `offset` and before `end`; the header counts as one. */
async function lineFrom(file: FileHandle, offset: number, end: number): Promise<Line | undefined> {
  // One byte before: a line begins at `offset` itself when that byte ends another.
  const base = Math.max(0, offset - 1);
  const bytes = await readAt(file, base, windowBytes);
  let at = offset === 0 ? 0 : bytes.indexOf(0x0a) + 1;
  if (offset > 0 && at === 0) return undefined;
  while (base + at < end) {
    const stop = bytes.indexOf(0x0a, at);
    if (stop < 0) return undefined;
    const next = base + stop + 1;
    if (bytes[at] === 0x23) return { name: undefined, oid: '', next };
    if (bytes[at] !== 0x5e) {
      return {
        name: bytes.subarray(at + 41, stop),
        oid: bytes.toString('latin1', at, at + 40),
        next,
      };
    }
    at = stop + 1;
  }
  return undefined;
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

/**
 * Gives a repository that has no refs all of its refs at once, durably: in one sorted packed-refs, under git's own lock
 * of that file.
 *
 * @throws Error with code EEXIST while somebody else writes it
 */
export async function writePackedRefs(
  directory: string,
  refs: Iterable<readonly [ref: string, oid: string]>,
): Promise<void> {
  const path = join(directory, 'packed-refs');
  const lines = [...refs]
    .map(([ref, oid]) => [Buffer.from(ref), `${oid} ${ref}\n`] as const)
    .sort(([one], [other]) => Buffer.compare(one, other))
    .map(([, line]) => line);
  const file = await open(`${path}.lock`, 'wx', 0o600);
  try {
    await file.writeFile(['# pack-refs with: sorted \n', ...lines].join(''));
    await file.sync();
    await rename(`${path}.lock`, path);
  } catch (error) {
    await rm(`${path}.lock`, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await syncDirectory(directory);
}
