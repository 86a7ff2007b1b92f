import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isOid } from '../model/oid.ts';
import type { Git } from './git.ts';
import type { Program } from './run.ts';
import type { Scratch } from './scratch.ts';

/**
 * The objects of some commits, in the order asked for.
 *
 * @throws Error when one is missing or is no commit
 */
export async function readCommitObjects(
  git: Git,
  { directory, signal }: { readonly directory: string; readonly signal: AbortSignal },
  oids: readonly string[],
): Promise<readonly Buffer[]> {
  const { status, stdout, stderr } = await git.run(['cat-file', '--batch'], {
    cwd: directory,
    input: oids.map((oid) => `${oid}\n`).join(''),
    maxBytes: 64 * 1024 * 1024,
    signal,
  });
  if (status !== 0) throw new Error(`git cat-file ended with ${status}: ${stderr}`);
  let at = 0;
  return oids.map((oid) => {
    const end = stdout.indexOf('\n', at);
    const [, type, size] = stdout.toString('latin1', at, end).split(' ');
    if (type !== 'commit') throw new Error(`${oid} is ${type}, not a commit`);
    const begin = end + 1;
    at = begin + Number(size) + 1;
    return stdout.subarray(begin, at - 1);
  });
}

/** Writes commits into a scratch object directory, one git process for all of them. */
export class CommitWriter {
  readonly #child: Program;
  readonly #lines: AsyncIterator<string>;
  readonly #file: string;
  readonly #forget: () => void;
  #stderr = '';

  constructor(git: Git, { directory, path, signal }: Scratch) {
    this.#child = git.start(['hash-object', '-t', 'commit', '-w', '--stdin-paths'], {
      cwd: directory,
      scratch: path,
      config: { 'core.fsync': 'none' },
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stderr.on('data', (chunk) => {
      this.#stderr = `${this.#stderr}${chunk}`.slice(0, 4096);
    });
    this.#file = join(path, 'commit');
    const end = () => this.#child.end();
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    this.#forget = () => signal.removeEventListener('abort', end);
  }

  /**
   * @param object - a whole commit object
   * @returns its oid
   * @throws Error when git refuses it
   */
  async write(object: Buffer): Promise<string> {
    await writeFile(this.#file, object);
    // In quotes git takes any path, in whatever line.
    this.#child.stdin.write(`${JSON.stringify(this.#file)}\n`);
    const { value } = await this.#lines.next();
    if (typeof value === 'string' && isOid(value)) return value;
    throw new Error(`git hash-object took no commit: ${this.#stderr}`);
  }

  async close(): Promise<void> {
    this.#forget();
    this.#child.stdin.end();
    await this.#child.exited;
  }
}
