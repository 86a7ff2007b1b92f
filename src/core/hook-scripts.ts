import { join } from 'node:path';
import { principalText } from '../model/principal.ts';
import type { RefCommand } from '../model/ref.ts';
import { escapeControls } from '../model/repo.ts';
import type { Git } from '../programs/git.ts';
import { type Hooks, makeHooks } from '../programs/hooks.ts';
import type { ObjectPlace } from '../programs/new-objects.ts';
import { findScripts, runScript } from '../programs/scripts.ts';
import type { Actor } from '../store/changes.ts';
import type { Refusal, Wanted } from './refusal.ts';

/** What a script is told of who changes refs by what. */
export interface ScriptsFor {
  readonly by: Actor;
  /** `git-receive-pack`, `merge` */
  readonly action: string;
  /** Hears what they write, line by line, safe to show. */
  readonly tell: (line: string) => Promise<void>;
}

/** The operator's scripts in `hooks.d/`: each may refuse what the rules allow, none may allow what they refuse. */
export class HookScripts {
  readonly #git: Git;
  readonly #folder: string;
  readonly #incoming: string;

  constructor(git: Git, dataDir: string) {
    this.#git = git;
    this.#folder = join(dataDir, 'hooks.d');
    this.#incoming = join(dataDir, 'incoming');
  }

  /** git's own hooks for one push: what the scripts, and rules about objects, are asked through. */
  async makeHooks(): Promise<Hooks> {
    return makeHooks(this.#incoming);
  }

  /** Whether there are any. */
  async any(): Promise<boolean> {
    return (await findScripts(this.#folder)).length > 0;
  }

  /**
   * Runs them one after the other until one refuses.
   *
   * @param commands - those of the wanted ones that nothing refused so far
   * @returns why nothing of it may be done; undefined when all of them agree
   * @throws the signal's reason
   */
  async refusal(
    { repo, principal }: Wanted,
    commands: readonly RefCommand[],
    { place, by, action, tell }: ScriptsFor & { readonly place: ObjectPlace },
  ): Promise<Refusal | undefined> {
    const env = {
      CPM_ACTION: action,
      CPM_KEY: 'fingerprint' in principal ? principal.fingerprint : '',
      CPM_PRINCIPAL: principalText(principal),
      CPM_REPO: repo.fullName,
      CPM_REPO_ID: repo.id,
      CPM_REQUEST: by.request,
      CPM_USER: principal.kind === 'user' ? principal.name : '',
    };
    const lines = commands.map(({ ref, old, new: next }) => `${old} ${next} ${ref}\n`).join('');
    for (const path of await findScripts(this.#folder)) {
      const { name, fault, said } = await runScript(this.#git, place, { path, env, lines });
      for (const line of said.split('\n').filter(Boolean)) await tell(escapeControls(line));
      if (fault === undefined) continue;
      return { reason: `refused by hooks.d/${escapeControls(name)}: ${fault}`, hint: undefined };
    }
    return undefined;
  }
}
