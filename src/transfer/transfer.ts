import type { Core } from '../core/core.ts';
import type { Push } from '../core/push.ts';
import type { Invitee, ServerPrincipal } from '../model/principal.ts';
import type { RepoPath } from '../model/repo.ts';
import type { Stdio } from '../model/stdio.ts';
import type { Git } from '../programs/git.ts';
import type { NewObjects } from '../programs/objects.ts';
import type { RefAnswers } from '../programs/ref-answers.ts';
import type { Actor } from '../store/changes.ts';

/** The repository a transfer was allowed to reach. */
export interface Target {
  /** Absolute path of the bare repository; of an empty one where a push may create it. */
  readonly directory: string;
  /** `GIT_PROTOCOL`, validated. */
  readonly protocol: string | undefined;
}

/** Everything a transfer's talk may touch. */
export interface Talk extends Target {
  readonly git: Git;
  readonly refAnswers: RefAnswers;
  readonly newObjects: NewObjects;
  readonly stdio: Stdio;
  readonly signal: AbortSignal;
}

interface BasePlan {
  /** The git program's name with its dash, as the audit record shows it. */
  readonly action: string;
  readonly path: RepoPath;
}

/** A program that only reads. */
export interface ReadPlan extends BasePlan {
  readonly right: 'read';
  /** @returns git's exit status. @throws the signal's reason when that is a UserError, and on defects */
  talk(talk: Talk): Promise<number>;
}

/** A push: the gate talks to the client and to git. @see Push for what it asks of the core */
export interface WritePlan extends BasePlan {
  readonly right: 'write';
  talk(talk: Talk, push: Push): Promise<number>;
}

/** Everything that a talk between servers may touch. */
export interface PeerTalk {
  readonly core: Core;
  readonly principal: ServerPrincipal;
  readonly by: Actor;
  readonly stdio: Stdio;
  readonly signal: AbortSignal;
}

/** What came of a talk between servers: the exit status, and what the record keeps. */
interface TalkEnd {
  readonly status: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** The same, of a server that is not known yet and was invited. */
export type JoinTalk = Omit<PeerTalk, 'principal'> & { readonly principal: Invitee };

/** A program that servers ask each other for; its words name no repository. */
export type PeerPlan =
  | { readonly right: 'peer'; readonly action: string; talk(talk: PeerTalk): Promise<TalkEnd> }
  | { readonly right: 'join'; readonly action: string; talk(talk: JoinTalk): Promise<TalkEnd> };

export type Plan = ReadPlan | WritePlan;

/** A transfer protocol: words in, plan out, nothing touched. */
export interface Transfer {
  /** The git program's name, `git-upload-pack`. */
  readonly program: string;
  /**
   * @param words - what followed the program's name
   * @throws UserError `usage` on anything but the protocol's own arguments
   */
  plan(words: readonly string[]): Plan;
}

/** A protocol of servers among themselves: words in, plan out, nothing touched. */
export interface PeerTransfer {
  readonly program: string;
  /** @throws UserError `usage` */
  plan(words: readonly string[]): PeerPlan;
}
