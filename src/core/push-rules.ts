import { shortRef } from '../model/ref.ts';
import { escapeControls } from '../model/repo.ts';
import type { HookScripts, ScriptsFor } from './hook-scripts.ts';
import type { PushJudge, Spawning } from './push.ts';
import { type Judgement, type Refusal, refusalBy, type Wanted } from './refusal.ts';
import type { Rules } from './rules.ts';

/** git's own words for a branch that would lose commits. */
const notForward = 'non-fast-forward';

/** So many refusals are explained line by line. */
const mostLines = 10;

/** What the rules say to one push, from its first decision to its report. */
export class PushRules implements PushJudge {
  readonly #rules: Rules;
  readonly #scripts: HookScripts;
  readonly #signal: AbortSignal;
  readonly #about: Omit<ScriptsFor, 'tell'>;
  readonly #refusals = new Map<string, Refusal>();
  #wanted: Wanted | undefined;
  #judged: readonly Judgement[] = [];
  #hasScripts = false;
  /** Whether git itself was told to refuse what is not forward; it does so for branches alone. */
  #gitTellsForward = false;
  #hasHooks: boolean | undefined;

  constructor(
    { rules, scripts }: { rules: Rules; scripts: HookScripts },
    about: Omit<ScriptsFor, 'tell'> & { signal: AbortSignal },
  ) {
    this.#rules = rules;
    this.#scripts = scripts;
    this.#signal = about.signal;
    this.#about = about;
  }

  /** @returns per command, why not; as far as the commands alone tell */
  async decide(wanted: Wanted): Promise<readonly (string | undefined)[]> {
    this.#wanted = wanted;
    this.#judged = await this.#rules.judge(wanted);
    this.#hasScripts = await this.#scripts.any();
    return this.#judged.map((judgement, at) => this.#keep(at, judgement.refusal ?? this.#late(at)));
  }

  /** A rule that came while the pack did can't be asked any more: git runs without the means by now. */
  #late(at: number): Refusal | undefined {
    if (this.#hasHooks !== false) return undefined;
    if (!this.#hasScripts && this.#openAt(at).length === 0) return undefined;
    return { reason: 'the rules of the repository changed meanwhile', hint: 'push once more' };
  }

  #keep(at: number, refusal: Refusal | undefined): string | undefined {
    const ref = this.#wanted?.commands[at]?.ref;
    if (refusal !== undefined && ref !== undefined) this.#refusals.set(ref, refusal);
    return refusal?.reason;
  }

  /** What only a hook can ask the objects about a command. */
  #openAt(at: number): Judgement['open'] {
    const { ref = '' } = this.#wanted?.commands[at] ?? {};
    const byGit = this.#gitTellsForward && ref.startsWith('refs/heads/');
    const open = this.#judged[at]?.open ?? [];
    return open.filter(({ about }) => !(about === 'forward' && byGit));
  }

  async spawning(): Promise<Spawning> {
    const commands = this.#wanted?.commands ?? [];
    const updates = commands.flatMap((command, at) => {
      const { refusal, open } = this.#judged[at] ?? { refusal: undefined, open: [] };
      const isBranch = command.ref.startsWith('refs/heads/');
      const isUpdate = !/^0+$/.test(command.old) && !/^0+$/.test(command.new);
      return refusal === undefined && isBranch && isUpdate ? [open] : [];
    });
    const isForwardOnly = (open: Judgement['open']) =>
      open.some(({ about }) => about === 'forward');
    // git knows no exceptions among the branches of one push: with any, the hook has to ask.
    this.#gitTellsForward = updates.length > 0 && updates.every(isForwardOnly);
    this.#hasHooks = this.asksObjects;
    const config = this.#gitTellsForward ? { 'receive.denyNonFastForwards': 'true' } : {};
    return { config, hooks: this.#hasHooks ? await this.#scripts.makeHooks() : undefined };
  }

  get asksObjects(): boolean {
    if (this.#hasScripts) return true;
    return this.#judged.some(({ refusal }, at) => !refusal && this.#openAt(at).length > 0);
  }

  async judgeObjects(
    where: { directory: string; quarantine: string | undefined },
    { isAtomic, tell }: { isAtomic: boolean; tell: ScriptsFor['tell'] },
  ): Promise<readonly (string | undefined)[]> {
    const wanted = this.#wanted;
    if (wanted === undefined) throw new Error('objects were judged before their commands');
    const place = { ...where, signal: this.#signal };
    const open = this.#judged.map((_, at) => ({ refusal: undefined, open: this.#openAt(at) }));
    const refusals = await this.#rules.judgeObjects(wanted, open, place);
    const left = wanted.commands.filter((_, at) => refusals[at] === undefined);
    const isOver = left.length === 0 || (isAtomic && left.length < refusals.length);
    const scripts = { ...this.#about, place, tell };
    const byScript = isOver ? undefined : await this.#scripts.refusal(wanted, left, scripts);
    return refusals.map((refusal, at) => this.#keep(at, refusal ?? byScript));
  }

  inOwnWords(ref: string, reason: string): string {
    if (reason !== notForward) return reason;
    const at = this.#wanted?.commands.findIndex((command) => command.ref === ref) ?? -1;
    const question = this.#judged[at]?.open.find(({ about }) => about === 'forward');
    if (question === undefined || this.#wanted === undefined) return reason;
    return (
      this.#keep(at, refusalBy(question.rule, this.#wanted.repo, { ref, act: 'force' })) ?? reason
    );
  }

  explain(): readonly string[] {
    const all = [...this.#refusals];
    const shown = all.slice(0, mostLines);
    const lines = shown.map(([ref, { reason }]) => `${escapeControls(shortRef(ref))}: ${reason}`);
    const more = all.length - shown.length;
    const hints = new Set(shown.flatMap(([, { hint }]) => hint ?? []));
    return [
      ...lines,
      ...(more > 0 ? [`and ${more} refs more`] : []),
      ...[...hints].map((hint) => `hint: ${hint}`),
    ];
  }
}
