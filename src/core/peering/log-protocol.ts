import type { ChangeEntry, LogPosition } from '../../model/change-entry.ts';
import type { RefPair } from './protocol.ts';

/** Questions about change logs, and about what backups keep besides refs. */
export interface LogQuestions {
  /** What is behind a position of your log? All of it, where the asker has none. */
  readonly log: { readonly after: LogPosition | null };
  /** How far do you follow my log? */
  readonly 'log-at': Record<string, never>;
  /** Take what is behind it. `head`: where the log is now. */
  readonly 'log-take': { readonly head: LogPosition; readonly entries: readonly ChangeEntry[] };
  /** Send me objects that were set aside in a repository. `have`: the asker's refs. */
  readonly objects: {
    readonly id: string;
    readonly oids: readonly string[];
    readonly have: readonly RefPair[];
  };
}

export interface LogAnswers {
  readonly log: {
    readonly head: LogPosition;
    /** The base64 of the blob of the key that signs it. */
    readonly signKey: string;
    readonly entries: readonly ChangeEntry[];
  };
  readonly 'log-at': { readonly position: LogPosition | null };
  readonly 'log-take': { readonly position: LogPosition };
  readonly objects: {
    /** null where it has none of them. */
    readonly token: string | null;
    readonly bytes: number;
    /** Those that are sent. */
    readonly oids: readonly string[];
  };
}
