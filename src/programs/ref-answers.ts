import type { Git } from './git.ts';
import { lookAtRefFiles } from './ref-files.ts';
import { TooMuchOutput } from './run.ts';

/** Something that an upload-pack is asked, and answers from the refs alone. */
export interface RefQuestion {
  /** `GIT_PROTOCOL`, as git's own clients send it. */
  readonly protocol: string | undefined;
  /** All that the client says. */
  readonly input: string;
}

interface Remembered {
  /** Of the ref files that it was made of. */
  readonly print: string;
  /** undefined for one that is too long to be kept. */
  readonly answer: Buffer | undefined;
}

/** What is kept in all, and of one answer, in bytes. */
const mostBytes = 8 * 1024 * 1024;
const longestAnswer = 2 * 1024 * 1024;
/** What an entry costs besides its texts. */
const entryBytes = 512;

/**
 * A file that is younger may be written again without looking any different: some file systems count whole seconds, and
 * a freed inode is soon used again.
 */
const settledMs = 2000;
const askMs = 60_000;

/**
 * What git's own upload-pack said, word for word, told again for as long as no file of the repository's refs looks any
 * different. Whatever can't be told so is not told: the caller asks git itself.
 */
export class RefAnswers {
  readonly #git: Git;
  /** The longest unused first. */
  readonly #kept = new Map<string, Remembered>();
  #bytes = 0;

  constructor(git: Git) {
    this.#git = git;
  }

  /**
   * The answer to a question, as the refs are now.
   *
   * @param directory - the bare repository, which the caller holds
   * @returns undefined where git fails or says too much to be kept
   * @throws the signal's reason on abort
   */
  async of(
    directory: string,
    question: RefQuestion,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const key = `${directory}\0${question.protocol ?? ''}\0${question.input}`;
    const before = await lookAtRefFiles(directory);
    const kept = this.#kept.get(key);
    if (kept?.print === before.print) {
      this.#keep(key, kept);
      return kept.answer;
    }
    const answer = await this.#ask(directory, question, signal);
    const after = await lookAtRefFiles(directory);
    const isSettled = after.newestMs < Date.now() - settledMs;
    if (after.print === before.print && isSettled) this.#keep(key, { print: after.print, answer });
    else this.#drop(key);
    return answer;
  }

  /**
   * What git offers in protocol v2, which no ref changes: asked once for each repository.
   *
   * @returns and throws as `of`
   */
  async capabilities(directory: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const key = `${directory}\0capabilities`;
    const kept = this.#kept.get(key);
    const answer =
      kept === undefined
        ? await this.#ask(directory, { protocol: 'version=2', input: '' }, signal)
        : kept.answer;
    if (answer !== undefined) this.#keep(key, { print: '', answer });
    return answer;
  }

  async #ask(
    directory: string,
    { protocol, input }: RefQuestion,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const options = { cwd: directory, protocol, input, maxBytes: longestAnswer, signal };
    try {
      const args = ['upload-pack', '--strict', '.'];
      const said = await this.#git.run(args, { ...options, timeoutMs: askMs });
      return said.status === 0 ? said.stdout : undefined;
    } catch (error) {
      if (error instanceof TooMuchOutput) return undefined;
      throw error;
    }
  }

  /** As the last one used; who was not used for longest makes room. */
  #keep(key: string, entry: Remembered): void {
    this.#drop(key);
    this.#kept.set(key, entry);
    this.#bytes += costOf(key, entry);
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= mostBytes) return;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const entry = this.#kept.get(key);
    if (entry === undefined) return;
    this.#kept.delete(key);
    this.#bytes -= costOf(key, entry);
  }
}

function costOf(key: string, { answer }: Remembered): number {
  return entryBytes + 2 * key.length + (answer?.length ?? 0);
}
