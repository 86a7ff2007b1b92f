import { UserError } from './errors.ts';
import { quoted } from './repo.ts';

/** One entry of a tar archive. */
export interface TarEntry {
  /** As the archive has it, without a leading `./`. */
  readonly path: string;
  /** What is neither a file nor a directory (a link, a device) is only named. */
  readonly kind: 'file' | 'directory' | 'other';
  readonly content: Buffer;
}

const blockBytes = 512;

/**
 * Reads a tar archive in the ustar form, which `tar -cf -` of GNU and BSD write for short names.
 * Strict: it takes no archive that is damaged, cut off, or whose names could lead outside a directory.
 *
 * @throws UserError `usage` saying at which byte what is wrong
 * @see POSIX.1-2017, pax, ustar Interchange Format
 */
export function readTar(archive: Buffer): readonly TarEntry[] {
  const entries: TarEntry[] = [];
  for (let at = 0; ; ) {
    const header = archive.subarray(at, at + blockBytes);
    if (header.length < blockBytes) throw broken(at, 'it is cut off');
    if (header.every((byte) => byte === 0)) return entries;
    checkHeader(header, at);
    const sizeBytes = number(header, { from: 124, to: 136 }, at);
    const start = at + blockBytes;
    const content = archive.subarray(start, start + sizeBytes);
    if (content.length < sizeBytes) throw broken(at, 'it is cut off');
    const entry = readEntry(header, content, at);
    if (entry !== undefined) entries.push(entry);
    at = start + Math.ceil(sizeBytes / blockBytes) * blockBytes;
  }
}

function broken(at: number, fault: string): UserError {
  return new UserError('usage', `this is no tar archive that can be read: ${fault} (byte ${at})`, {
    hint: 'make it with: tar -C DIR -cf - .',
  });
}

function checkHeader(header: Buffer, at: number): void {
  if (header.toString('latin1', 257, 262) !== 'ustar') throw broken(at, 'it is not in ustar form');
  const written = number(header, { from: 148, to: 156 }, at);
  let sum = 0;
  // The sum is made as if its own field were blanks.
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
  if (sum !== written) throw broken(at, 'a header is damaged');
}

/** An octal number, as ustar has them: nothing else is taken. */
function number(header: Buffer, { from, to }: { from: number; to: number }, at: number): number {
  const text = header.toString('latin1', from, to).replace(/[\0 ]+$/, '');
  if (!/^ *[0-7]{1,11}$/.test(text)) throw broken(at, 'a number is not octal');
  return Number.parseInt(text, 8);
}

function text(header: Buffer, from: number, to: number): string {
  const field = header.subarray(from, to);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? field.length : end);
}

/** @returns undefined for a header that only tells more about the next entry than is of use here */
function readEntry(header: Buffer, content: Buffer, at: number): TarEntry | undefined {
  const type = String.fromCharCode(header[156] ?? 0);
  if (type === 'x' || type === 'g') {
    // It may not rename or resize what follows: then the plain header would not be true.
    if (/(^|\n)\d+ (path|linkpath|size)=/.test(content.toString('latin1'))) {
      throw broken(at, 'a name in it is too long or not plain');
    }
    return undefined;
  }
  if (type === 'L' || type === 'K') throw broken(at, 'a name in it is longer than 100 bytes');
  // GNU tar keeps times where ustar has the first part of a long name.
  const isGnu = header.toString('latin1', 257, 263) === 'ustar ';
  const prefix = isGnu ? '' : text(header, 345, 500);
  const name = text(header, 0, 100);
  const path = prefix === '' ? name : `${prefix}/${name}`;
  checkPath(path, at);
  const kind = type === '0' || type === '\0' ? 'file' : type === '5' ? 'directory' : 'other';
  const plain = path.replace(/^(\.\/)+/, '').replace(/\/$/, '');
  return { path: plain, kind, content: Buffer.from(content) };
}

function checkPath(path: string, at: number): void {
  const leavesDirectory = path.startsWith('/') || path.split('/').includes('..');
  if (path === '' || leavesDirectory) throw broken(at, `${quoted(path)} leads outside`);
}

/** The biggest file that an octal size of eleven digits can tell of. */
export const longestFile = 8 ** 11 - 1;

/**
 * The header of a plain file: nothing in it depends on when, where or by whom it is written.
 *
 * @param name - up to 100 bytes
 */
export function tarHeader(name: string, sizeBytes: number): Buffer {
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  const header = Buffer.alloc(blockBytes);
  header.write(name, 0, 100);
  header.write(octal(0o600, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(sizeBytes, 11), 124);
  header.write(octal(0, 11), 136);
  header.write(' '.repeat(8), 148);
  header.write('0', 156);
  header.write('ustar\0', 257);
  header.write('00', 263);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** How many zeros follow a file's content in an archive. */
export function tarPadding(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
}

/** Bytes of the two empty blocks that end an archive. */
export const tarEndBytes = 2 * blockBytes;

/**
 * Reads a header as `tarHeader` writes it, and takes no other: a link, a device, a mode, an owner is none.
 *
 * @returns undefined for an empty block
 * @throws UserError `usage`
 */
export function readPlainHeader(
  block: Buffer,
  at: number,
): { readonly name: string; readonly sizeBytes: number } | undefined {
  if (block.length < blockBytes) throw broken(at, 'it is cut off');
  if (block.every((byte) => byte === 0)) return undefined;
  checkHeader(block, at);
  const name = text(block, 0, 100);
  const sizeBytes = number(block, { from: 124, to: 136 }, at);
  if (block.equals(tarHeader(name, sizeBytes))) return { name, sizeBytes };
  throw broken(at, 'a header is more than that of a plain file');
}
