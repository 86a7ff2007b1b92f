import type { RefCommand } from '../model/ref.ts';
import type { Hooks } from '../programs/hooks.ts';

/** What git's report said of one command. */
export interface RefResult {
  readonly command: RefCommand;
  /** undefined when git took it; else git's own reason. */
  readonly refused: string | undefined;
  /** What to do instead, where somebody knows. */
  readonly hint?: string | undefined;
}

/** How git is to be run for one push. */
export interface Spawning {
  /** Settings of git for this push. */
  readonly config: Readonly<Record<string, string>>;
  /** There where it may come to hooks: they can be installed later, but not the pipes over which they ask. */
  readonly hooks: Hooks | undefined;
}

/** What the rules say to one push, beyond what its commands alone tell. */
export interface PushJudge {
  /** Asked once, after `admit` and before git starts. Who asks removes the hooks. */
  spawning(): Promise<Spawning>;
  /** Whether, by the last decision, a hook has to ask about the objects. */
  readonly asksObjects: boolean;
  /**
   * Asked by the hook, when git has all objects in quarantine and has changed no ref yet.
   *
   * @returns per command of the last decision, why not; undefined where it may be done
   * @throws whatever keeps the objects from being looked at: then nothing may be done
   */
  judgeObjects(
    where: { readonly directory: string; readonly quarantine: string | undefined },
    how: { readonly isAtomic: boolean; readonly tell: (line: string) => Promise<void> },
  ): Promise<readonly (string | undefined)[]>;
  /** git's reason for a refusal, in our words where a rule stands behind it. */
  inOwnWords(ref: string, reason: string): string;
  /** Lines for the client about all that rules refused, with hints; safe to show. */
  explain(): readonly string[];
}

/**
 * What the gate of a push asks of the core, in this order:
 * decide, admit, (pack but for its last bytes), decide, (git's whole report), settle, follow, (report passed on).
 */
export interface Push {
  readonly rules: PushJudge;
  readonly limits: { readonly refsPerPush: number; readonly packSizeBytes: number };
  /**
   * May these commands be done now? Key, right, archived state and rules are read anew.
   *
   * @returns per command, why not; undefined where allowed
   * @throws UserError when the whole push may not be
   */
  decide(commands: readonly RefCommand[]): Promise<readonly (string | undefined)[]>;
  /**
   * Called once, after `decide` allowed all that goes to git, before git starts: journals the commands durably,
   * creates the repository if it is missing, archives the tips that the commands delete.
   *
   * @returns the absolute path of the repository that git is to run in
   */
  admit(commands: readonly RefCommand[]): Promise<string>;
  /**
   * Called once after `admit` with what became of each command, before the client sees the report: refs and their
   * directories are synced, overwritten tips archived, old and new oids recorded. With all refused it undoes a creation.
   *
   * @returns lines for the client to read, already safe to show
   */
  settle(results: readonly RefResult[]): Promise<readonly string[]>;
  /**
   * Called after `settle` where the client sent push options, with all of them. What comes of them changes nothing
   * about the push.
   *
   * @returns lines for the client to read, already safe to show
   */
  follow(options: readonly string[]): Promise<readonly string[]>;
}
