import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './bare.ts';
import type { Git } from './git.ts';

/**
 * Writes one complete pack with its index into a folder: all that `wants` reach and `haves` do not.
 *
 * @param folder - on any file system; git works in a folder of its own below it
 * @returns its name, without the ending, which is the same for the same objects, and the bytes of both files
 * @throws Error with git's words; the signal's reason on abort
 */
export async function writeIndexedPack(
  git: Git,
  directory: string,
  {
    wants,
    haves,
    folder,
    signal,
  }: {
    readonly wants: readonly string[];
    readonly haves: readonly string[];
    readonly folder: string;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly name: string; readonly bytes: number }> {
  const scratch = join(folder, 'making');
  await mkdir(join(scratch, 'pack'), { recursive: true, mode: 0o700 });
  try {
    const args = ['pack-objects', '-q', '--revs', '--delta-base-offset', join(scratch, 'pack-new')];
    const input = [...wants, '--not', ...haves, ''].join('\n');
    const asked = { cwd: directory, scratch, input, signal };
    const { status, stdout, stderr } = await git.run(args, asked);
    if (status !== 0) throw new Error(`git pack-objects ended with ${status}: ${stderr.trim()}`);
    const hash = stdout.toString().trim();
    const name = `pack-${hash}`;
    let bytes = 0;
    for (const end of ['pack', 'idx']) {
      const made = join(scratch, `pack-new-${hash}.${end}`);
      bytes += (await stat(made)).size;
      await rename(made, join(folder, `${name}.${end}`));
    }
    await syncDirectory(folder);
    return { name, bytes };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
