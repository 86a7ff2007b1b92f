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

/** What a server says of itself. */
export interface Caps {
  readonly protocol: 1;
  readonly houseId: string;
  readonly git: string;
  /** null where there is none that is new enough. */
  readonly rsync: string | null;
  readonly freeBytes: number;
  readonly at: string;
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
  /** `decided`: refs whose value a person decided on, with the receiver's value that was decided over. */
  readonly commit: { readonly token: string; readonly decided: readonly RefPair[] };
  /** Send me this. `digest`: the asker's refs; `known`: what it knows of the sender's; `have`: its refs, if asked for. */
  readonly snapshot: {
    readonly id: string | null;
    readonly name: string;
    readonly digest: string | null;
    readonly known: string | null;
    readonly have: readonly RefPair[] | null;
  };
  /** By tar: an archive of this content and size is to come. */
  readonly 'put-tar': { readonly token: string; readonly id: string; readonly bytes: number };
  /** By tar: which archive is there to fetch? */
  readonly 'get-tar': { readonly token: string };
  /** The asker has all of a snapshot. `digest`: of its refs now. */
  readonly done: { readonly token: string; readonly digest: string };
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
  };
  readonly commit: {
    readonly held: boolean;
    readonly applied: readonly string[];
    readonly conflicts: readonly string[];
    readonly rejected: readonly RefPair[];
    readonly digest: string;
  };
  readonly snapshot:
    | { readonly state: 'equal' | 'known' | 'have'; readonly repo: RepoFacts }
    | {
        readonly state: 'sent';
        readonly repo: RepoFacts;
        readonly token: string;
        readonly bytes: number;
      };
  /** `offset`: so much of it is there already. */
  readonly 'put-tar': { readonly offset: number };
  readonly 'get-tar': { readonly id: string; readonly bytes: number };
  readonly done: Record<string, never>;
}

export type Verb = keyof Questions;
