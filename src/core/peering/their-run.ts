import type { RefList } from '../../model/sync-refs.ts';
import type { Newcomer } from './admit-new.ts';
import type { RepoFacts } from './protocol.ts';
import type { SyncSession } from './sessions.ts';

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
