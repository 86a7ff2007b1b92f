import { randomBytes, randomUUID } from 'node:crypto';
import { access, constants, mkdir, realpath, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Talking } from './run.ts';

/** The hooks of one git, which ask cpm what may be. */
export interface Hooks {
  /** Where git looks for them; empty at first. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** From now on git runs this one. `update` is asked for each ref of a push that is only done in part. */
  install(name: 'pre-receive' | 'update'): Promise<void>;
  /** Answers what the hooks ask until git is gone. */
  serve(talking: Talking, answers: HookAnswers): Promise<void>;
  remove(): Promise<void>;
}

export interface HookAnswers {
  /** May the push go on? @param quarantine - absolute path of the object directory with what it brings */
  push(quarantine: string): Promise<boolean>;
  /** May this ref of it be changed? */
  ref(ref: string): boolean;
}

/**
 * Makes the hooks of one push ready. They are links to one script of POSIX sh; the folder is put to an end by `remove`,
 * after a crash with the rest of `parent`.
 *
 * @param parent - a folder that the next start empties
 * @throws Error when the script is not where it was installed, or can't be run: git would go on without it
 */
export async function makeHooks(parent: string): Promise<Hooks> {
  const script = await findScript();
  const folder = join(parent, `hooks-${randomUUID()}`);
  await mkdir(folder, { mode: 0o700 });
  const nonce = randomBytes(16).toString('hex');
  return {
    folder,
    env: { CPM_NONCE: nonce },
    install: (name) => symlink(script, join(folder, name)),
    serve: (talking, answers) => serve(talking, answers, nonce),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

async function findScript(): Promise<string> {
  // The bundle lies in one folder beside hooks/, the sources a folder deeper.
  const here = dirname(fileURLToPath(import.meta.url));
  const places = ['..', '../..'].map((up) => join(here, up, 'hooks', 'pre-receive'));
  for (const place of places) {
    const runs = await access(place, constants.R_OK | constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return realpath(place);
  }
  throw new Error(`hooks/pre-receive is missing or can't be run: ${places.join(', ')}`);
}

async function serve({ said, heard }: Talking, answers: HookAnswers, nonce: string): Promise<void> {
  const answer = async (line: string): Promise<boolean> => {
    const blank = line.indexOf(' ');
    const about = line.slice(blank + 1);
    if (line.startsWith('update ')) return answers.ref(about);
    return line.startsWith('pre-receive ') && answers.push(about);
  };
  for await (const line of createInterface({ input: said })) {
    const isYes = await answer(line).catch(() => false);
    heard.write(isYes ? `ok ${nonce}\n` : 'no\n');
  }
}

/** The quarantine in a repository that a hook means. @returns undefined when git makes none of that name */
export function quarantineIn(directory: string, path: string): string | undefined {
  const name = basename(path);
  return /^tmp_objdir-[\w-]+$/.test(name) ? join(directory, 'objects', name) : undefined;
}
