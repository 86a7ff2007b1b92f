import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from './bare.ts';
import type { Git } from './git.ts';
import { syncRefs } from './refs.ts';

/** Takes refs away, durably, whatever they lead to; those that are gone already are left out by the caller. */
export async function dropRefs(
  git: Git,
  directory: string,
  refs: readonly string[],
): Promise<void> {
  if (refs.length === 0) return;
  const input = refs.map((ref) => `delete ${ref}\n`).join('');
  await must(git, directory, ['update-ref', '--no-deref', '--stdin'], input);
  await syncRefs(directory, refs);
}

/**
 * Removes every object that no ref leads to, from packs and loose ones, at once. Only for a repository that nobody else
 * uses: objects of a push under way are reached by nothing yet.
 */
export async function pruneNow(git: Git, directory: string): Promise<void> {
  const objects = join(directory, 'objects');
  // They name commits that are about to go.
  for (const name of ['info/commit-graph', 'info/commit-graphs', 'pack/multi-pack-index']) {
    await rm(join(objects, name), { recursive: true, force: true });
  }
  await must(git, directory, ['repack', '-a', '-d', '-l', '-q']);
  await must(git, directory, ['prune', '--expire=now']);
  await syncDirectory(join(objects, 'pack'));
  await syncDirectory(objects);
}

/** The packs that somebody marked to be kept as they are, whatever is in them. */
export async function keptPacks(directory: string): Promise<readonly string[]> {
  const names = await readdir(join(directory, 'objects/pack'));
  return names.filter((name) => name.endsWith('.keep'));
}

async function must(
  git: Git,
  directory: string,
  args: readonly string[],
  input = '',
): Promise<void> {
  const { status, stderr } = await git.run(args, { cwd: directory, input });
  if (status !== 0) throw new Error(`git ${args[0]} ended with ${status}: ${stderr}`);
}
