import type { Principal } from '../model/principal.ts';
import { nullOid, type RefCommand } from '../model/ref.ts';
import type { RepoPath } from '../model/repo.ts';
import { type Actor, newId } from '../store/changes.ts';
import type { Repository } from '../store/repositories.ts';
import type { AccessControl } from './access.ts';
import type { Granted } from './ask.ts';
import type { HookScripts } from './hook-scripts.ts';
import { keyRefusal } from './key-refs.ts';
import type { Locks } from './locks.ts';
import type { Mending } from './mending.ts';
import type { Push, RefResult } from './push.ts';
import { PushRules } from './push-rules.ts';
import { holdMoves } from './ref-moves.ts';
import type { RuledRepo } from './refusal.ts';
import type { Room } from './room.ts';
import { type Rules, unborn } from './rules.ts';
import { archiveDeleted, resultsOf, type SettleParts, settleRefs } from './settle.ts';
import type { Sizes } from './sizes.ts';
import { undoLines } from './undo-lines.ts';

/** What history calls a change by push. */
const action = 'git-receive-pack';

export interface PushParts extends SettleParts {
  readonly locks: Locks;
  readonly mending: Mending;
  readonly access: AccessControl;
  /** `ssh://USER@HOST[:PORT]` of this server, for the lines that the client reads. */
  readonly publicUrl: string;
  readonly rules: Rules;
  readonly scripts: HookScripts;
  readonly room: Room;
  readonly limits: Push['limits'];
  /** Does what push options ask for once the push is settled. @returns lines for the client */
  readonly follow: (
    repo: Repository,
    pushed: readonly RefCommand[],
    options: readonly string[],
  ) => Promise<readonly string[]>;
}

/** A push to `path`: decided, journaled, and what came of it recorded. @see Push */
export class PushRequest implements Push {
  readonly limits: Push['limits'];
  readonly rules: PushRules;
  readonly #parts: PushParts;
  readonly #principal: Principal;
  readonly #path: RepoPath;
  readonly #by: Actor;
  readonly #signal: AbortSignal;
  #repo: Repository | undefined;
  #created = false;
  #release: (() => void) | undefined;
  #releaseRefs: (() => void) | undefined;
  #grown: (() => void) | undefined;
  #done: readonly RefCommand[] = [];
  #refused = false;
  /** The commands that git was given and whose outcome is not written down yet. */
  #admitted: readonly RefCommand[] = [];

  /** @param repo - undefined where the push may create it */
  constructor(
    parts: PushParts,
    request: { principal: Principal; path: RepoPath; by: Actor; signal: AbortSignal },
    repo: Repository | undefined,
  ) {
    this.limits = parts.limits;
    const { by, signal } = request;
    this.rules = new PushRules(parts, { by, signal, action });
    this.#parts = parts;
    this.#principal = request.principal;
    this.#path = request.path;
    this.#by = request.by;
    this.#signal = request.signal;
    this.#repo = repo;
  }

  /** What changed, for the record. */
  get done(): readonly RefCommand[] {
    return this.#done;
  }

  /** Whether nothing changed because some refusal of ours or of git's stood against it. */
  get refused(): boolean {
    return this.#refused && this.#done.length === 0;
  }

  /** The repository's id, once there is one. */
  get repoId(): string | undefined {
    return this.#repo?.id;
  }

  /** Has the repository measured, if the push changed it. */
  noteSize(sizes: Sizes): void {
    if (this.#repo === undefined || this.#done.length === 0) return;
    sizes.changed(this.#repo, this.#parts.repos.directory(this.#repo));
  }

  async decide(commands: readonly RefCommand[]): Promise<readonly (string | undefined)[]> {
    // The second time: git has all but the last bytes.
    if (this.#repo !== undefined && this.#admitted.length > 0) {
      const refs = commands.map(({ ref }) => ref);
      this.#releaseRefs ??= await holdMoves(this.#parts, this.#repo.id, {
        refs,
        signal: this.#signal,
      });
    }
    const granted = await this.#authorize();
    if (commands.some((command) => command.new !== nullOid)) await this.#findRoom(granted);
    const repo = granted.repo ?? this.#unborn(granted);
    const ruled = await this.rules.decide({ repo, principal: this.#principal, commands });
    const { refs } = granted.decision;
    const reasons = commands.map(({ ref }, at) => ruled[at] ?? keyRefusal(refs, ref));
    this.#refused ||= reasons.some((reason) => reason !== undefined);
    return reasons;
  }

  #unborn({ namespace }: Granted): RuledRepo {
    if (namespace === undefined) throw new Error('a namespace was decided on and is not there');
    return unborn(namespace, this.#path.name);
  }

  async #authorize(): Promise<Granted> {
    const { access } = this.#parts;
    const path = this.#path;
    if (this.#repo === undefined) {
      return access.authorize(this.#principal, { need: 'create', path });
    }
    const named = { namespace: this.#repo.namespace, name: this.#repo.name };
    return access.authorize(this.#principal, {
      need: 'repo',
      path: named,
      right: 'write',
      through: 'git',
    });
  }

  /** Is there room for what the push brings? Once it has arrived, only the reserve still counts. */
  async #findRoom({ repo, namespace }: Granted): Promise<void> {
    const { room } = this.#parts;
    await room.onDisk();
    if (this.#admitted.length > 0) return;
    if (repo !== undefined) {
      await room.inNamespace({ id: repo.namespaceId, name: repo.namespace });
    } else if (namespace !== undefined) {
      await room.inNamespace({ id: namespace.ownerId, name: namespace.name });
    }
  }

  async admit(commands: readonly RefCommand[]): Promise<string> {
    const { store, repos, git } = this.#parts;
    if (this.#repo !== undefined) {
      await store.pushes.journal(this.#repo.id, action, false, commands, this.#by);
    }
    const repo = this.#repo ?? (await this.#create(commands));
    this.#admitted = commands;
    const directory = repos.directory(repo);
    this.#grown = this.#parts.room.grows(repo, directory);
    await archiveDeleted(git, directory, commands);
    return directory;
  }

  /** Journals the push and creates its repository, in this order: after a crash the journal tells of an empty one. */
  async #create(commands: readonly RefCommand[]): Promise<Repository> {
    const { store, access, repos } = this.#parts;
    const ask = { need: 'create', path: this.#path } as const;
    const { namespace } = await access.authorize(this.#principal, ask);
    if (namespace === undefined) throw new Error('a namespace was decided on and is not there');
    const branches = commands.flatMap(({ ref }) => /^refs\/heads\/(.+)$/.exec(ref)?.[1] ?? []);
    const defaultBranch = branches.includes('main') ? 'main' : (branches[0] ?? 'main');
    const { name } = this.#path;
    const held = await store.repositories.byName(namespace.ownerId, name);
    const id = held?.id ?? newId();
    await store.pushes.journal(id, action, held === undefined, commands, this.#by);
    if (held === undefined) {
      await repos.create({ id, namespace, name, defaultBranch }, this.#by).catch(async (error) => {
        await store.pushes.settle(id, action, { done: [], archived: [] }, this.#by);
        throw error;
      });
    }
    const repo = await store.repositories.byId(id);
    if (repo === undefined) throw new Error('a repository was created and is not there');
    this.#created = held === undefined;
    this.#repo = repo;
    this.#admitted = commands;
    this.#release = await repos.hold(repo, this.#signal);
    return repo;
  }

  async settle(results: readonly RefResult[]): Promise<readonly string[]> {
    const repo = this.#repo;
    if (repo === undefined) throw new Error('a push was settled before it was admitted');
    const done = results.flatMap(({ command, refused }) =>
      refused === undefined ? [command] : [],
    );
    // A repository that is to be taken back stays in the journal until it is gone.
    const left =
      done.length > 0 || !this.#created
        ? await settleRefs(this.#parts, repo, done, { by: this.#by, action })
        : [];
    this.#admitted = [];
    this.#done = done;
    const refused = results.flatMap(({ command, refused }) => (refused ? [command.ref] : []));
    if (refused.length > 0) await this.#parts.mending.refused(repo, refused);
    this.#refused ||= refused.length > 0;
    this.#releaseRefs?.();
    this.#releaseRefs = undefined;
    return undoLines(this.#parts.publicUrl, repo.fullName, left);
  }

  async follow(options: readonly string[]): Promise<readonly string[]> {
    if (this.#repo === undefined) throw new Error('a push was followed before it was settled');
    return this.#parts.follow(this.#repo, this.#done, options);
  }

  /** After git is gone: writes down what a broken-off push did, and takes back a creation that nothing came of. */
  async close(): Promise<void> {
    try {
      if (this.#repo !== undefined && this.#admitted.length > 0) {
        const directory = this.#parts.repos.directory(this.#repo);
        await this.settle(await resultsOf(directory, this.#admitted, 'the push broke off'));
      }
    } finally {
      this.#grown?.();
      this.#releaseRefs?.();
      this.#release?.();
    }
    if (this.#repo === undefined || !this.#created || this.#done.length > 0) return;
    await takeBack(this.#parts, this.#repo.id, this.#by);
  }
}

/** Ends a push that created a repository and then left it empty: the repository first, then its place in the journal. */
export async function takeBack(
  { store, repos }: Pick<SettleParts, 'store' | 'repos'>,
  repoId: string,
  by: Actor,
): Promise<void> {
  await repos.removeEmpty(repoId, by);
  await store.pushes.settle(repoId, action, { done: [], archived: [] }, by);
}
