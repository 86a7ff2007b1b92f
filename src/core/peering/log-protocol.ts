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
  /** Which objects that were set aside do you lack? `after`: the id of the repository that was asked about last. */
  readonly lacking: { readonly after: string | null };
  /** Of what was lacking in that repository, `oids` lie in the session, and `gone` are none here any more. */
  readonly 'take-objects': {
    readonly token: string;
    readonly id: string;
    readonly oids: readonly string[];
    readonly gone: readonly string[];
  };
}

interface LogTaken {
  /** Whether some of what the log says is not carried out. Servers of earlier versions don't say. */
  readonly waits?: boolean;
}

export interface LogAnswers {
  readonly log: {
    readonly head: LogPosition;
    /** The base64 of the blob of the key that signs it. */
    readonly signKey: string;
    readonly entries: readonly ChangeEntry[];
  };
  readonly 'log-at': LogTaken & { readonly position: LogPosition | null };
  readonly 'log-take': LogTaken & { readonly position: LogPosition };
  readonly objects: {
    /** null where it has none of them. */
    readonly token: string | null;
    readonly bytes: number;
    /** Those that are sent. */
    readonly oids: readonly string[];
  };
  /** null where nothing is lacking in any further repository. */
  readonly lacking: {
    readonly id: string;
    readonly oids: readonly string[];
    /** The asked one's refs. */
    readonly have: readonly RefPair[];
    /** Of the session that they are to be put into. */
    readonly token: string;
    /** Bytes of the biggest pack that there is room for. */
    readonly room: number;
    /** As in `caps`. */
    readonly rsync: string | null;
  } | null;
  readonly 'take-objects': Record<string, never>;
}
