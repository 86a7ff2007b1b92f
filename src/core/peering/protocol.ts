import type { LogPosition } from '../../model/change-entry.ts';
import type { HostNews, SignInNews } from '../../model/key-news.ts';
import type { LogPlace } from '../../store/digests.ts';
import type { Heritage } from '../../store/lead-switch.ts';
import type { After, Repository } from '../../store/repositories.ts';
import type { ToldAt } from '../../store/syncs.ts';
import type { Compared, Shown, ShownFrom } from './likeness.ts';
import type { LogAnswers, LogQuestions } from './log-protocol.ts';

/** The program that servers ask each other for; questions and answers are JSON, one object a line. */
export const syncProgram = 'cpm-sync';

/** The words behind the program's name by which an archive passes, from a byte on, in place of questions. */
export type TarWords = readonly [verb: 'put-tar' | 'get-tar', token: string, offset: string];

/** `[ref, oid]`, as lists of refs pass between servers. */
export type RefPair = readonly [ref: string, oid: string];

/** A repository as its server tells of it. */
export interface RepoFacts {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly visibility: 'private' | 'internal' | 'public';
  readonly defaultBranch: string;
}

/** What another server is told of a repository. */
export function factsOf(repo: Repository): RepoFacts {
  const { id, fullName: name, description, visibility, defaultBranch } = repo;
  return { id, name, description, visibility, defaultBranch };
}

/** What a server says of itself. */
export interface Caps {
  readonly protocol: 1;
  readonly houseId: string;
  readonly git: string;
  /** null where there is none that is new enough. */
  readonly rsync: string | null;
  readonly freeBytes: number;
  /** The biggest pack that it takes: none where its reserve is reached. Servers of earlier versions don't say. */
  readonly roomBytes?: number;
  readonly at: string;
}

/** A repository that changed, as its server tells of it. */
export interface ChangedRepo {
  readonly id: string;
  /** The number of its last change there. */
  readonly seq: number;
  /** The sum of its refs. @see moveSum */
  readonly digest: string;
  /** null where it was deleted. */
  readonly facts: RepoFacts | null;
}

/** A repository in the list of what a server may read. */
export interface ListedRepo {
  readonly name: string;
  readonly id: string;
  readonly description: string;
  readonly visibility: string;
  readonly default_branch: string;
  readonly right: string;
  readonly archived: boolean;
  readonly size_bytes: number;
  readonly refs: number;
  readonly updated_at: string;
}

/** The questions of the protocol between servers, by their verb. Digests are of sorted lists of refs. */
export interface Questions extends LogQuestions {
  readonly caps: Record<string, never>;
  /** May this be sent? `digest`: the sender's refs; `known`: what it knows of the receiver's. */
  readonly offer: {
    readonly repo: RepoFacts;
    readonly digest: string;
    readonly known: string | null;
    readonly dryRun: boolean;
  };
  /**
   * `decided`: refs whose value a person decided on, with the receiver's value that was decided over. `toldAt`: where the
   * sender's log ended when it read its list.
   */
  readonly commit: {
    readonly token: string;
    readonly decided: readonly RefPair[];
    readonly toldAt?: ToldAt;
  };
  /** Send me this. `digest`: the asker's refs; `known`: what it knows of the sender's; `have`: its refs, if asked for. */
  readonly snapshot: {
    readonly id: string | null;
    /** Its id on the side of who is asked; null where the asker does not know it yet. */
    readonly own: string | null;
    readonly name: string;
    readonly digest: string | null;
    readonly known: string | null;
    readonly have: readonly RefPair[] | null;
  };
  /** By tar: an archive of this content and size is to come. */
  readonly 'put-tar': { readonly token: string; readonly id: string; readonly bytes: number };
  /** By tar: which archive is there to fetch? */
  readonly 'get-tar': { readonly token: string };
  /**
   * The asker has all of a snapshot, or nothing for what it offered. `digest`: of its refs now; `otherwise`: those that
   * it does not have as they were sent, and those that it has alone. Servers of earlier versions don't say.
   */
  readonly done: {
    readonly token: string;
    readonly digest: string;
    readonly otherwise?: readonly string[] | undefined;
  };
  /** What may I read of yours? From a place in the order of names on. */
  readonly list: After;
  /** These are new keys of mine; which are yours? */
  readonly keys: { readonly signIn: SignInNews | null; readonly host: HostNews | null };
  /** A backup is told that a repository was deleted. */
  readonly end: { readonly id: string };
  /** What changed since that place in your log? Without one, of everything. */
  readonly changes: LogPlace | Record<string, never>;
  /** A backup asks what its main is, to be compared with; `from`: where the page begins. */
  readonly show: { readonly from: ShownFrom };
  /** A backup is asked in what it is otherwise than a page of its main. */
  readonly compare: { readonly shown: Shown; readonly isFirst: boolean };
  /** Do you lead in my place? With `take`: lead, if you have all of my log up to `head`. */
  readonly lead: {
    readonly take: {
      readonly token: string;
      readonly head: LogPosition;
    } | null;
  };
  /** Whom of these do you lead in the place of, and what have you of it? `origins`: ids of data directories. */
  readonly heritage: { readonly origins: readonly string[] };
}

export interface Answers extends LogAnswers {
  readonly caps: Caps;
  readonly offer: {
    /** null where the lists are equal, or in a dry run of what does not exist. */
    readonly token: string | null;
    readonly created: boolean;
    readonly digest: string;
    /** The receiver's refs; null where the sender knows them. */
    readonly refs: readonly RefPair[] | null;
    /** The digest of the sender's list that the receiver took last. */
    readonly base: string | null;
    /** Bytes of the biggest pack that there is room for; undefined where nothing is to come. */
    readonly room?: number;
    /** As in `caps`. */
    readonly rsync?: string | null;
  };
  readonly commit: {
    readonly held: boolean;
    /** Nothing was agreed: another run of the two was meanwhile. It is to be begun anew. */
    readonly outdated: boolean;
    readonly applied: readonly string[];
    readonly conflicts: readonly string[];
    readonly rejected: readonly RefPair[];
  };
  readonly snapshot:
    | { readonly state: 'equal' | 'known' | 'have'; readonly repo: RepoFacts }
    | {
        readonly state: 'sent';
        readonly repo: RepoFacts;
        readonly token: string;
        readonly bytes: number;
        /** As in `caps`. */
        readonly rsync?: string | null;
        /** As in `commit`. */
        readonly toldAt?: ToldAt;
      };
  /** `offset`: so much of it is there already. */
  readonly 'put-tar': { readonly offset: number };
  readonly 'get-tar': { readonly id: string; readonly bytes: number };
  readonly done: Record<string, never>;
  /** `next`: where to ask on; null at the end. */
  readonly list: { readonly rows: readonly ListedRepo[]; readonly next: After | null };
  readonly keys: {
    /** The host key that is to come; null where none is announced. */
    readonly host: HostNews | null;
    /** Fingerprints of the host keys that are shown now. */
    readonly shown: readonly string[];
    /** Why something that was told is not taken. */
    readonly refused: string | null;
  };
  /** `done`: whether it was there. */
  readonly end: { readonly done: boolean };
  /** `anew`: of everything; `more`: ask on from the place that is told. */
  readonly changes: LogPlace & {
    readonly anew: boolean;
    /** The number of the newest entry of the log that backups follow; null for who is none. */
    readonly log: number | null;
    /** Whether some of what the asker's log says is not carried out. Servers of earlier versions don't say. */
    readonly waits?: boolean;
    /** The fingerprint of a host key that is announced; null where there is none. */
    readonly keys: string | null;
    readonly more: boolean;
    readonly rows: readonly ChangedRepo[];
  };
  readonly show: Shown;
  readonly compare: Compared;
  readonly lead: {
    readonly leads: boolean;
    /** To be said with `take`; it makes those given before worthless. */
    readonly token: string;
  };
  readonly heritage: {
    readonly origin: string;
    readonly term: number;
    /** Whether what the one before had alone was fetched from it. */
    readonly recalled: boolean;
    readonly head: LogPosition;
    /** The base64 of the blob of the key that signs its log. */
    readonly signKey: string;
    readonly heritage: Heritage;
  } | null;
}

export type Verb = keyof Questions;
