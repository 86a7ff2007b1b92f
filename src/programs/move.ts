import { mkdir, readdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UserError } from '../model/errors.ts';
import { syncDirectory } from './bare.ts';

/**
 * Renames a directory durably; the folder that it goes into is made (0700) when missing. An empty one in its place
 * makes room.
 *
 * @param from - absolute, as is `to`
 * @param what - how its new place is called
 * @throws UserError `conflict` when something is there already; Error of the file system, also when `from` is missing
 */
export async function moveDirectory(from: string, to: string, what: string): Promise<void> {
  const [source, target] = [dirname(from), dirname(to)];
  const made = await mkdir(target, { recursive: true, mode: 0o700 });
  if (made !== undefined) await syncDirectory(dirname(target));
  try {
    await rename(from, to);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(code)) throw cause;
    throw new UserError('conflict', `${what}: a directory that cpm does not know is in its place`, {
      hint: 'the operator looks at it; or choose another name',
      cause,
    });
  }
  await syncDirectory(target);
  if (source !== target) await syncDirectory(source);
}

/** What a directory holds; undefined when it is missing. */
export async function entriesOf(directory: string): Promise<readonly string[] | undefined> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}
