import { access, constants, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Git } from './git.ts';
import type { ObjectPlace } from './new-objects.ts';

/** A script may say so much. */
const mostBytes = 256 * 1024;

/** What a script is asked. */
export interface Asked {
  readonly path: string;
  /** What it is told besides what git tells every hook. */
  readonly env: Readonly<Record<string, string>>;
  /** What it reads. */
  readonly lines: string;
  /** It may take so long; 60 s unless told. */
  readonly longestMs?: number;
}

/** How a script ended. */
export interface ScriptEnd {
  readonly name: string;
  /** Why its word is a no; undefined for a yes. */
  readonly fault: string | undefined;
  /** All that it wrote, its errors last. */
  readonly said: string;
}

/**
 * The operator's scripts in a folder, in the order of their names: what can be run and does not begin with a dot.
 *
 * @returns absolute paths; none where there is no such folder
 */
export async function findScripts(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  const visible = names.filter((name) => !name.startsWith('.')).sort();
  const paths = visible.map((name) => join(folder, name));
  const can = await Promise.all(paths.map(canRun));
  return paths.filter((_, at) => can[at]);
}

async function canRun(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/**
 * Runs one script in the repository, without arguments.
 *
 * @throws the signal's reason
 */
export async function runScript(
  git: Git,
  { directory, quarantine, signal }: ObjectPlace,
  { path, env, lines, longestMs = 60_000 }: Asked,
): Promise<ScriptEnd> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const extra = {
    ...env,
    GIT_DIR: directory,
    // With it git changes no ref: what a script wrote now would lead to objects that are not in yet.
    ...(quarantine === undefined ? {} : { GIT_QUARANTINE_PATH: quarantine }),
  };
  const options = {
    cwd: directory,
    scratch: quarantine,
    extra,
    input: lines,
    maxBytes: mostBytes,
    timeoutMs: longestMs,
    signal,
  };
  try {
    const { status, signal: killed, stdout, stderr } = await git.script(path, options);
    const fault = status === 0 ? undefined : `it ended with ${status ?? killed}`;
    return { name, fault, said: `${stdout}${stderr}` };
  } catch (error) {
    signal.throwIfAborted();
    const { message } = error as Error;
    return { name, fault: message.replaceAll(path, 'it').replaceAll(directory, '.'), said: '' };
  }
}
