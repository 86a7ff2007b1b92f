import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { constants } from 'node:os';
import { type Answer, cleanEnv } from './process.ts';
import { findProgram } from './program.ts';

/** A `cpm serve` of which nothing is known but what a test gave it. */
export interface Serving {
  readonly pid: number;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  /** Waits for text on stdout. @throws with all that it said when it ends before */
  says(text: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Answer>;
}

export interface ServeOptions {
  /** The whole environment but PATH. */
  readonly env: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Another cpm than the one that is tested elsewhere. */
  readonly program?: readonly string[];
  /** Another program that gets the server's own words behind these. */
  readonly wrapper?: readonly string[];
  readonly cwd?: string;
  /** Listening sockets that it inherits, as file descriptors from 3 on. */
  readonly sockets?: readonly Server[];
}

/** Starts a server, which is ended with the test. */
export function serve(
  t: { teardown(close: () => unknown): void },
  {
    env,
    args = ['--listen', '127.0.0.1:0'],
    wrapper = [],
    cwd,
    sockets = [],
    program: own,
  }: ServeOptions,
): Serving {
  const [program = '', ...words] = [...wrapper, ...(own ?? findProgram().server), 'serve', ...args];
  const stdio: StdioOptions = ['pipe', 'pipe', 'pipe', ...sockets.map(fdOf)];
  const child = spawn(program, words, { cwd, env: cleanEnv(env), stdio });
  let stdout = '';
  let stderr = '';
  const collect = (stream: ChildProcess['stdout'], take: (text: string) => void) =>
    stream?.setEncoding('utf8').on('data', (text: string) => {
      take(text);
      child.emit('said');
    });
  collect(child.stdout, (text) => {
    stdout += text;
  });
  collect(child.stderr, (text) => {
    stderr += text;
  });
  let isOver = false;
  const ended = once(child, 'close').then(([code, signal]) => {
    isOver = true;
    child.emit('said');
    const status = code ?? 128 + constants.signals[(signal ?? 'SIGKILL') as NodeJS.Signals];
    return { status, stdout, stderr, bytes: Buffer.from(stdout) };
  });
  t.teardown(async () => {
    if (!isOver) child.kill('SIGKILL');
    await ended;
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => child.kill(signal),
    ended,
    async says(text) {
      const signal = AbortSignal.timeout(60_000);
      for (;;) {
        const found = text.exec(stdout);
        if (found !== null) return found;
        if (isOver) throw new Error(`the server said ${stdout}${stderr}`);
        await once(child, 'said', { signal });
      }
    },
  };
}

function fdOf(server: Server): number {
  return (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
}
