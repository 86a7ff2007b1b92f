import type { RefCommand } from '../model/ref.ts';

/** What git's report said of one command. */
export interface RefResult {
  readonly command: RefCommand;
  /** undefined when git took it; else git's own reason. */
  readonly refused: string | undefined;
}

/**
 * What the gate of a push asks of the core, in this order:
 * decide, admit, (pack but for its last bytes), decide, (git's whole report), settle, follow, (report passed on).
 */
export interface Push {
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
