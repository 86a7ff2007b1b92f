import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isWritableRef, nullOid, shortRef } from '../model/ref.ts';
import { configText } from '../programs/bare.ts';
import { fsck } from '../programs/fsck.ts';
import type { Git } from '../programs/git.ts';
import { allRefs, readRefsOf } from '../programs/refs.ts';
import { walk } from '../programs/walk.ts';
import type { Watch } from '../programs/watched.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import { type Repos, readId } from './repos.ts';

/** Something that is not as it should be. */
export interface Problem {
  readonly about: 'structure' | 'refs' | 'objects';
  readonly text: string;
}

interface VerifyParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
}

const mostProblems = 200;
const pageRefs = 1000;

/**
 * Looks whether a repository is whole: its files are ours and nothing else, its refs are where the record has them,
 * its objects are sound. Changes nothing; pushes and clones go on.
 *
 * @returns what is amiss, at most 200 things, and how many refs there are
 */
export async function verifyRepository(
  parts: VerifyParts,
  repo: Repository,
  run: Watch,
): Promise<{ problems: readonly Problem[]; refs: number }> {
  const { repos, git } = parts;
  const release = await repos.share(repo, run.signal);
  try {
    const directory = repos.directory(repo);
    const structure = await structureFaults(directory, repo);
    const problems: Problem[] = structure.map((text) => ({ about: 'structure', text }));
    // Without a repository there is nothing to ask git about; within one of another's making git is not run.
    if (structure.length > 0) return { problems: problems.slice(0, mostProblems), refs: 0 };
    const { faults, refs } = await refFaults(parts, repo, run.signal);
    problems.push(...faults.map((text) => ({ about: 'refs', text }) as const));
    const objects = await fsck(git, directory, { ...run, strict: false });
    problems.push(...objects.map((text) => ({ about: 'objects', text }) as const));
    return { problems: problems.slice(0, mostProblems), refs };
  } finally {
    release();
  }
}

/** What lies in the repository's folder that does not belong there, and what belongs there and is missing. */
async function structureFaults(directory: string, repo: Repository): Promise<string[]> {
  const found = await lstat(directory).catch(() => undefined);
  if (found === undefined) return ['its directory is missing'];
  if (!found.isDirectory()) return ['in place of its directory is something else'];
  const faults: string[] = [];
  const id = await readId(directory);
  if (id !== repo.id)
    faults.push(`its directory says that it is ${id ?? 'nobody'}, not ${repo.id}`);
  const config = await readFile(join(directory, 'config'), 'utf8').catch(() => '');
  if (config !== configText) faults.push('config is not as cpm wrote it');
  for await (const { path, kind } of walk(directory)) {
    if (kind === 'link' || kind === 'other') faults.push(`${path} is neither file nor folder`);
    if (path.startsWith('hooks/')) faults.push(`${path} does not belong there`);
    if (/^objects\/info\/(http-)?alternates$/.test(path)) {
      faults.push(`${path} makes it depend on another repository`);
    }
    if (faults.length >= mostProblems) break;
  }
  return faults;
}

async function refFaults(
  { store, repos }: VerifyParts,
  repo: Repository,
  signal: AbortSignal,
): Promise<{ faults: string[]; refs: number }> {
  const directory = repos.directory(repo);
  const head = (await readRefsOf(directory, ['HEAD'])).get('HEAD')?.symref;
  const main = `refs/heads/${repo.defaultBranch}`;
  const faults = head === main ? [] : [`HEAD leads to ${head ?? 'no branch'}, not to ${main}`];
  const there = new Map((await allRefs(directory)).map(({ name, oid }) => [name, oid]));
  const differing: string[] = [];
  let refs = 0;
  for (const name of there.keys()) if (isWritableRef(name)) refs += 1;
  const unseen = new Set([...there.keys()].filter(isWritableRef));
  for await (const { ref, oid } of recorded(store, repo.id)) {
    unseen.delete(ref);
    if ((there.get(ref) ?? nullOid) !== oid) differing.push(ref);
  }
  for (const ref of [...differing, ...unseen]) {
    signal.throwIfAborted();
    const fault = await settledFault({ store, repos }, repo, ref, signal);
    if (fault !== undefined) faults.push(fault);
    if (faults.length >= mostProblems) break;
  }
  return { faults, refs };
}

async function* recorded(store: Store, repoId: string) {
  let after = '';
  for (;;) {
    const page = await store.upkeep.recordedRefs(repoId, { after, limit: pageRefs });
    yield* page;
    if (page.length < pageRefs) return;
    after = page.at(-1)?.ref ?? '';
  }
}

/** Looks again with the ref held: a push that was under way has been written down by then. */
async function settledFault(
  { store, repos }: Pick<VerifyParts, 'store' | 'repos'>,
  repo: Repository,
  ref: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const release = await repos.holdRefs(repo.id, [ref], signal);
  try {
    const value = (await readRefsOf(repos.directory(repo), [ref])).get(ref);
    const oid = value?.oid ?? value?.symref ?? nullOid;
    const known = await store.upkeep.recordedRef(repo.id, ref);
    if (oid === (known ?? nullOid)) return undefined;
    const is = oid === nullOid ? 'is not there' : `is at ${oid}`;
    const record =
      known === undefined
        ? 'the record does not know it'
        : known === nullOid
          ? 'the record has it deleted'
          : `the record has ${known}`;
    return `${shortRef(ref)} ${is}, ${record}`;
  } finally {
    release();
  }
}
