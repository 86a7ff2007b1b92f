import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Person, Words } from './person.ts';
import { type Answer, cleanEnv } from './process.ts';

/** A client that runs beside the test, and what it has said so far. */
export interface Client {
  /** Waits for text on stdout or stderr. @throws with all that it said when it ends before, or after 60 s */
  says(text: string | RegExp): Promise<void>;
  send(bytes: Uint8Array): void;
  /** Ends its input. */
  end(): void;
  /** Takes it away as a lost line does. */
  kill(): void;
  readonly ended: Promise<Answer>;
}

const patienceMs = 60_000;

/** Starts a program, which is ended with the test. */
export function startClient(
  t: { teardown(close: () => unknown): void },
  [program, ...args]: readonly [string, ...string[]],
  { cwd, env }: { cwd?: string; env: Readonly<Record<string, string>> },
): Client {
  // In a group of its own, so that git's ssh goes with git.
  const child = spawn(program, args, { cwd, env: cleanEnv(env), stdio: 'pipe', detached: true });
  const kill = () => {
    if (child.pid === undefined || isOver) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      // It ended by itself, and what it said last is still to be read.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const said = { stdout: '', stderr: '' };
  const out: Buffer[] = [];
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      said[name] += chunk.toString('latin1');
      if (name === 'stdout') out.push(chunk);
      child.emit('said');
    });
  }
  child.stdin.on('error', () => undefined);
  let isOver = false;
  const ended = once(child, 'close').then(([code]) => {
    isOver = true;
    child.emit('said');
    return { status: code ?? 128, ...said, bytes: Buffer.concat(out) };
  });
  t.teardown(async () => {
    kill();
    await ended;
  });
  return {
    async says(text) {
      const signal = AbortSignal.timeout(patienceMs);
      while (!(said.stdout + said.stderr).match(text)) {
        if (isOver) throw new Error(`it ended: ${said.stdout}${said.stderr}`);
        await once(child, 'said', { signal });
      }
    },
    send: (bytes) => void child.stdin.write(bytes),
    end: () => child.stdin.end(),
    kill,
    ended,
  };
}

/** Starts the real ssh client of a person, its input open. */
export function startSsh(
  t: { teardown(close: () => unknown): void },
  person: Person,
  { port, command }: { port: number; command: string },
): Client {
  const words = [...person.sshOptions(), '-p', String(port), 'cpm@127.0.0.1', command];
  return startClient(t, ['ssh', ...words], { env: { HOME: person.home } });
}

/** Starts git as a person. @param words - a string is split at blanks */
export function startGit(
  t: { teardown(close: () => unknown): void },
  person: Person,
  { cwd, words }: { cwd: string; words: Words },
): Client {
  const args = typeof words === 'string' ? words.split(' ') : words;
  return startClient(t, ['git', ...args], { cwd, env: person.gitEnv() });
}
