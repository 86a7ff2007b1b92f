import { spawn } from 'node:child_process';
import type { ApartSays } from './apart.ts';

/** A process that is to serve in this one's place. */
export interface Successor {
  readonly pid: number;
  /** Settles when it is gone, with what it said of the reason. Never rejects. */
  readonly ended: Promise<Extract<ApartSays, { message: string }>>;
  /** Ends it. */
  end(): void;
}

/**
 * Starts the program on disk anew, with the words, flags and surroundings that this process was started with.
 *
 * @param more - for its words
 * @param env - its whole environment
 */
export function startSuccessor(
  more: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Successor {
  const [program = '', script = '', ...words] = [process.execPath, ...process.argv.slice(1)];
  const kept = words.filter((word) => !more.includes(word));
  const child = spawn(program, [...process.execArgv, script, ...kept, ...more], {
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let said: Extract<ApartSays, { message: string }> | undefined;
  child.on('message', (words: ApartSays) => {
    if ('message' in words) said = words;
  });
  const ended = new Promise<Extract<ApartSays, { message: string }>>((resolve) => {
    child.once('error', ({ message }) => resolve({ message }));
    child.once('close', (status, signal) => {
      resolve(said ?? { message: `it ended with ${signal ?? status}` });
    });
  });
  return { pid: child.pid ?? 0, ended, end: () => void child.kill('SIGTERM') };
}
