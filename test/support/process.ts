import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** How a process ended and what it said. */
export interface Answer {
  /** The exit status; 128 and the signal's number when a signal ended it, as a shell has it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as it came, for what is not text. */
  readonly bytes: Buffer;
}

/** What a started process gets. */
export interface Surroundings {
  readonly cwd?: string | undefined;
  /** The whole environment but PATH and LC_ALL: nothing of the test's own gets in. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly stdin?: string | Uint8Array | undefined;
  /** Ends the process, with SIGTERM. */
  readonly signal?: AbortSignal | undefined;
}

/** The environment that every process of a test starts from. */
export function cleanEnv(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', ...more };
}

/** Runs a program to its end. @throws when it can't be started or was aborted; any exit status is an answer */
export function run(
  program: string,
  args: readonly string[],
  { cwd, env = {}, stdin, signal }: Surroundings = {},
): Promise<Answer> {
  const child = spawn(program, args, {
    cwd,
    env: cleanEnv(env),
    signal,
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  // A program that doesn't read its input to the end is no fault of the test.
  child.stdin?.on('error', () => undefined).end(stdin);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, name) => {
      const bytes = Buffer.concat(out);
      const status = code ?? 128 + constants.signals[name ?? 'SIGKILL'];
      resolve({ status, stdout: bytes.toString(), stderr: Buffer.concat(err).toString(), bytes });
    });
  });
}

/** Runs a program that must succeed. @throws with what it said, when it doesn't */
export async function must(
  program: string,
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Answer> {
  const answer = await run(program, args, surroundings);
  if (answer.status === 0) return answer;
  throw new Error(
    `${program} ${args.join(' ')}: status ${answer.status}\n${answer.stdout}${answer.stderr}`,
  );
}
