import { differing, type RefList, refsDigest } from '../../model/sync-refs.ts';
import type { Core } from '../core.ts';
import type { Admission } from './admit.ts';
import type { Newcomer } from './admit-new.ts';
import { endConflicts } from './conflicts.ts';
import type { Questions, RepoFacts } from './protocol.ts';
import type { SyncSession } from './sessions.ts';
import { visibleRefs } from './snapshot.ts';

/** What a run that the other side began is about. */
export interface Run {
  readonly session: SyncSession;
  readonly startedAt: string;
  readonly created: boolean;
  /** What is to be made of what comes. */
  readonly newcomer?: Newcomer;
  /** What the sender said of the repository, and the default branch that was agreed with it by then. */
  readonly told?: { readonly facts: RepoFacts; readonly before: string | undefined };
  /** The refs that were sent along with a snapshot. */
  readonly sent?: RefList;
  /** The digest of what was agreed with the other side when it began. */
  readonly agreed?: string | undefined;
}

/**
 * Notes what the other side holds of a snapshot that was sent to it, all of it or what it says of single refs, and ends
 * the conflicts over that. It can have no value noted that was not sent.
 */
export async function agreeOnSent(
  core: Core,
  { server, repo, by }: Pick<Admission, 'server' | 'repo' | 'by'>,
  { sent, agreed }: Pick<Run, 'sent' | 'agreed'>,
  asked: Questions['done'],
): Promise<void> {
  if (sent === undefined) return;
  const otherwise = refsDigest(sent) === asked.digest ? [] : asked.otherwise;
  const { syncs } = core.store;
  const pair = { serverId: server.id, repoId: repo.id };
  const base = await syncs.base(pair);
  if (otherwise === undefined || base?.digest !== agreed) return;
  const kept = new Map(sent);
  for (const ref of otherwise) {
    const old = base?.refs.get(ref);
    if (old === undefined) kept.delete(ref);
    else kept.set(ref, old);
  }
  if (!(await syncs.agreeAfter(agreed, pair, kept))) return;
  const refs = await visibleRefs(core.repos.directory(repo));
  const others = new Set([...otherwise, ...differing(sent, refs)]);
  await endConflicts(core, { server, repo, by }, { refs, isAlike: (ref) => !others.has(ref) });
}
