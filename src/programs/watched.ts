import { createInterface } from 'node:readline';
import { Transform } from 'node:stream';
import type { Git, GitStart } from './git.ts';
import type { Exit } from './run.ts';

/** How far a long git command is, in git's own words and numbers. */
export interface Progress {
  /** `Checking objects` */
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

export interface Watch {
  readonly signal: AbortSignal;
  readonly progress?: ((now: Progress) => void) | undefined;
}

/** A long command that has ended. */
export interface Watched extends Exit {
  /** What it said on either of its outputs but for progress, line by line; the first thousand lines. */
  readonly lines: readonly string[];
}

const mostLines = 1000;

/**
 * Runs a git command that may take long, and tells how far it is. git tells it only where `args` have `--progress`.
 *
 * @throws the signal's reason on abort, once git is gone
 */
export async function watch(
  git: Git,
  args: readonly string[],
  options: GitStart & Watch,
): Promise<Watched> {
  const { signal, progress } = options;
  signal.throwIfAborted();
  const child = git.start(args, options);
  const onAbort = (): void => child.end();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    child.stdin.end();
    const lines: string[] = [];
    const read = async (stream: NodeJS.ReadableStream) => {
      for await (const line of createInterface({ input: stream.pipe(returnsAsLines()) })) {
        const now = progressIn(line);
        if (now !== undefined) progress?.(now);
        else if (line !== '' && lines.length < mostLines) lines.push(line);
      }
    };
    const [exit] = await Promise.all([child.exited, read(child.stdout), read(child.stderr)]);
    signal.throwIfAborted();
    return { ...exit, lines };
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** git overwrites a line of progress with the next by a carriage return. */
function returnsAsLines(): Transform {
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      done(null, chunk.toString('latin1').replaceAll('\r', '\n'));
    },
  });
}

/** Reads `Checking objects:  45% (9/20)`; undefined for every other line. */
export function progressIn(line: string): Progress | undefined {
  const [, what, done, total] =
    /^(?:remote: )?([A-Z][A-Za-z -]+): +\d{1,3}% \((\d+)\/(\d+)\)/.exec(line) ?? [];
  if (what === undefined) return undefined;
  return { what, done: Number(done), total: Number(total) };
}
