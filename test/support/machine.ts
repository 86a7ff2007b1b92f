import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, run } from './process.ts';
import { findProgram } from './program.ts';
import type { Serving } from './serve.ts';

/** A machine on which cpm never ran: a home, and a place for the data directory. */
export interface Machine {
  readonly folder: string;
  readonly home: string;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Makes one, which is gone when the test ends. */
export function machine(t: { teardown(close: () => unknown): void }): Machine {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, 'home');
  mkdirSync(home);
  const dataDir = join(folder, 'data');
  return { folder, home, dataDir, env: { HOME: home, CPM_DATA_DIR: dataDir, CPM_ADMIN: 'ada' } };
}

/** Runs a command as its operator. */
export function cpm(words: readonly string[], env: Machine['env']): Promise<Answer> {
  const [program, ...args] = findProgram().command;
  return run(program, [...args, ...words], { env });
}

/** Waits until a server listens on the loopback. */
export async function started(serving: Serving): Promise<{ port: number; stdout: string }> {
  const [, port] = await serving.says(/^listening on ssh:\/\/127\.0\.0\.1:(\d+)$/m);
  return { port: Number(port), stdout: serving.stdout() };
}

/** Asks a server to end, and waits for it. */
export async function stopped(serving: Serving): Promise<Answer> {
  serving.kill('SIGTERM');
  return serving.ended;
}
