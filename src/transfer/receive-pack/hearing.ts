import { nullOid, type RefCommand } from '../../model/ref.ts';
import { type Hooks, quarantineIn } from '../../programs/hooks.ts';
import type { Program } from '../../programs/run.ts';
import { endReason } from '../client.ts';
import { type Attempt, type Ending, faultEnding, faultText } from './attempt.ts';
import type { Refusals } from './judge.ts';

/** What git reported of the commands that it was given. */
interface Reported extends Omit<Ending, 'refused'> {
  readonly results: readonly {
    readonly command: RefCommand;
    readonly refused: string | undefined;
  }[];
}

/** Where a push's hooks are heard: rules about the objects are decided there, the objects still in quarantine. */
export class Hearing {
  readonly hooks: Hooks;
  readonly #attempt: Attempt;
  readonly #commands: readonly RefCommand[];
  readonly #directory: string;
  #verdict: Refusals | undefined;
  #fault: unknown;

  constructor(
    attempt: Attempt,
    {
      hooks,
      commands,
      directory,
    }: { hooks: Hooks; commands: readonly RefCommand[]; directory: string },
  ) {
    this.#attempt = attempt;
    this.hooks = hooks;
    this.#commands = commands;
    this.#directory = directory;
  }

  /** Answers the hooks of a git that was started with them. */
  listen({ talk }: Program): void {
    if (talk === undefined) throw new Error('git was started without the pipes of its hooks');
    const answers = {
      push: (path: string) => this.#push(path),
      ref: (ref: string) => this.#isAllowed(ref),
    };
    this.hooks.serve(talk, answers).catch((fault) => {
      this.#fault ??= fault;
    });
  }

  /** Has git ask, if anything is to be asked by the push's last decision. */
  async prepare(): Promise<void> {
    if (this.#attempt.push.rules.asksObjects) await this.hooks.install('pre-receive');
  }

  async #push(path: string): Promise<boolean> {
    const { answer, list, push, talk } = this.#attempt;
    try {
      const quarantine = quarantineIn(this.#directory, path);
      // git makes none for a push that only deletes.
      if (quarantine === undefined && this.#commands.some((command) => command.new !== nullOid)) {
        throw new Error('a hook named no quarantine');
      }
      const isAtomic = list.capabilities.has('atomic');
      const tell = (line: string): Promise<void> => answer.progress(Buffer.from(`${line}\n`));
      const where = { directory: this.#directory, quarantine };
      const verdict = await push.rules.judgeObjects(where, { isAtomic, tell });
      // Whoever's right ended while scripts ran is refused, as at every decision before.
      if (talk.signal.aborted) throw endReason(talk.signal);
      this.#verdict = verdict;
      const refused = verdict.filter((why) => why !== undefined).length;
      if (refused === 0) return true;
      if (isAtomic || refused === verdict.length) return false;
      await this.hooks.install('update');
      return true;
    } catch (fault) {
      this.#fault ??= fault;
      return false;
    }
  }

  #isAllowed(ref: string): boolean {
    const at = this.#commands.findIndex((command) => command.ref === ref);
    return at >= 0 && this.#verdict !== undefined && this.#verdict[at] === undefined;
  }

  /** git's report, its "hook declined" in the words of those who did. */
  amend<R extends Reported>(reported: R): R {
    if (this.#verdict === undefined && this.#fault === undefined) return reported;
    const fault = this.#fault === undefined ? undefined : faultText(this.#fault);
    const others = 'atomic push: another ref was refused';
    const results = reported.results.map(({ command, refused }, at) => ({
      command,
      refused:
        refused &&
        (this.#verdict?.[at] ?? (refused.includes('hook declined') ? (fault ?? others) : refused)),
    }));
    return { ...reported, results, ...(this.#fault === undefined ? {} : faultEnding(this.#fault)) };
  }
}
