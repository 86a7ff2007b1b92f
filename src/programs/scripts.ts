import { access, constants, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Git } from './git.ts';
import type { ObjectPlace } from './new-objects.ts';

/** A script may take so long. */
const longestMs = 60_000;
/** And say so much. */
const mostBytes = 256 * 1024;

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
  const can = await Promise.all(
    paths.map((path) =>
      access(path, constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return paths.filter((_, at) => can[at]);
}

/**
 * Runs one script in the repository, without arguments.
 *
 * @param about - `env`: what it is told besides; `lines`: what it reads
 * @throws the signal's reason
 */
export async function runScript(
  git: Git,
  { directory, quarantine, signal }: ObjectPlace,
  { path, env, lines }: { path: string; env: Readonly<Record<string, string>>; lines: string },
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
    return {
      name,
      fault: error instanceof Error ? withoutFolder(error, path) : 'it failed',
      said: '',
    };
  }
}

/** What went wrong, without an absolute path. */
function withoutFolder({ message }: Error, path: string): string {
  return message.replaceAll(path, 'it');
}
