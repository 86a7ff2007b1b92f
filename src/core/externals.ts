import { isWritableRef, nullOid, type RefCommand } from '../model/ref.ts';
import { refFilesPrint } from '../programs/ref-files.ts';
import { allRefs, readRefsOf } from '../programs/refs.ts';
import { archiveTips, notReachable } from '../programs/tips.ts';
import type { Actor } from '../store/changes.ts';
import { external, nobody } from '../store/ref-updates.ts';
import type { Repository } from '../store/repositories.ts';
import type { SettleParts } from './settle.ts';

const pageRows = 1000;

/** Refs that are held at one time. */
const atOnce = 100;

/**
 * Finds what was changed on the disk past cpm, and writes it into history as `external`; what it overwrote is archived
 * where it is still there. For one who holds the repository.
 *
 * @param by - whose request sees it
 */
export async function recordExternals(
  parts: SettleParts,
  repo: Repository,
  { by, signal }: { by: Actor; signal: AbortSignal },
): Promise<void> {
  const refs = await unseen(parts, repo);
  for (let at = 0; at < refs.length; at += atOnce) {
    const some = refs.slice(at, at + atOnce);
    // A push between its refs and its record looks the same until it is through.
    const release = await parts.repos.holdRefs(repo.id, some, signal);
    try {
      await record(parts, repo, some, nobody({ ...by, dryRun: false }));
    } finally {
      release();
    }
  }
}

/**
 * Looks at the files of all repositories' refs for what somebody wrote past cpm.
 *
 * @returns the full names of those whose refs are not as on record
 */
export async function findExternals(
  parts: Pick<SettleParts, 'store' | 'repos'>,
): Promise<readonly string[]> {
  const { store, repos } = parts;
  const found: string[] = [];
  for (let after = { namespace: '', name: '' }; ; ) {
    const page = await store.repositories.page({ kind: 'all' }, { after, limit: pageRows });
    for (const repo of page) {
      const directory = repos.directory(repo);
      const print = await refFilesPrint(directory);
      if (print === (await store.digests.disk(repo.id))) continue;
      const refs = await unseen(parts, repo).catch(() => []);
      if (refs.length > 0) found.push(repo.fullName);
      // A write in between makes another print, and is looked at the next time.
      else await store.digests.noteDisk(repo.id, print);
    }
    const last = page.at(-1);
    if (last === undefined) return found;
    after = last;
  }
}

/** The refs whose value on disk is another than on record. */
async function unseen(
  { store, repos }: Pick<SettleParts, 'store' | 'repos'>,
  repo: Repository,
): Promise<string[]> {
  const recorded = new Map<string, string>();
  for (let after = ''; ; ) {
    const page = await store.history.values(repo.id, after, pageRows);
    for (const { ref, oid } of page) recorded.set(ref, oid);
    after = page.at(-1)?.ref ?? '';
    if (page.length < pageRows) break;
  }
  const changed: string[] = [];
  for (const { name, oid } of await allRefs(repos.directory(repo))) {
    if (!isWritableRef(name)) continue;
    if (recorded.get(name) !== oid) changed.push(name);
    recorded.delete(name);
  }
  return [...changed, ...recorded.keys()];
}

async function record(
  { store, repos, git }: SettleParts,
  repo: Repository,
  refs: readonly string[],
  by: Actor,
): Promise<void> {
  const directory = repos.directory(repo);
  const disk = await readRefsOf(directory, refs);
  const recorded = await store.history.valuesOf(repo.id, refs);
  const done = refs.flatMap((ref): RefCommand[] => {
    const command = {
      ref,
      old: recorded.get(ref) ?? nullOid,
      new: disk.get(ref)?.oid ?? nullOid,
    };
    return command.old === command.new ? [] : [command];
  });
  if (done.length === 0) return;
  const olds = done.map(({ old }) => old);
  const news = done.map((command) => command.new);
  const lost = new Set(await notReachable(git, directory, { olds, news }));
  await archiveTips(git, directory, [...lost]);
  const archived = done
    .filter(({ old }) => lost.has(old))
    .map(({ ref, old }) => ({ ref, oid: old }));
  await store.pushes.settle(repo.id, external, { done, archived }, by);
}
