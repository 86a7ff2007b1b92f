import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type RefList, refsDigest } from '../../model/sync-refs.ts';
import { configText } from '../../programs/bare.ts';
import { writeDurably } from '../../programs/files.ts';
import type { Git } from '../../programs/git.ts';
import { writeIndexedPack } from '../../programs/indexed-pack.ts';
import { allPacked, writePackedRefs } from '../../programs/packed.ts';
import { sizeOfTree } from '../../programs/size.ts';
import { typesOf } from '../../programs/tips.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Room } from '../room.ts';

interface KeptParts {
  readonly git: Git;
  readonly room: Room;
  readonly dataDir: string;
}

/** What is kept of a repository, as the file beside it says. */
interface State {
  /** Of the refs, whose text is in the folder `refs-<at>`. */
  readonly digest: string;
  readonly head: string;
  /** Seconds; rsync compares whole ones, so each change has one of its own. */
  readonly at: number;
  readonly headAt: number;
  /** The first has all that the first list of refs reached, each other one what came with a later list. */
  readonly packs: readonly { readonly name: string; readonly bytes: number }[];
}

/** What is asked for: a repository that is held, and its refs, read before anything else. */
export interface KeepAsk {
  readonly repo: Repository;
  readonly directory: string;
  readonly refs: RefList;
  readonly signal: AbortSignal;
}

/** More packs than that, or more in the later ones than in the first, and one is made of all anew. */
const mostPacks = 50;
/** What nobody fetched for so long is made anew when somebody does. */
const keptMs = 30 * 86_400_000;
const stateFile = 'state.json';
const folders = ['', 'objects', 'objects/info', 'objects/pack', 'refs', 'refs/heads', 'refs/tags'];

/**
 * Copies of repositories for those who fetch them with an rsync of their own: made from their advertised refs alone, of
 * files that stay as they are, so that the next run sends only what is new. No file of a live repository is in them.
 */
export class KeptSnapshots {
  readonly #git: Git;
  readonly #room: Room;
  readonly #top: string;

  constructor({ git, room, dataDir }: KeptParts) {
    this.#git = git;
    this.#room = room;
    this.#top = join(dataDir, 'run', 'rsync');
  }

  /**
   * Lays a repository as it is at this moment into a folder of its own: a bare repository, its files linked to the kept
   * ones. One at a time for each repository.
   *
   * @param into - the path of nothing
   * @throws UserError `unavailable` when there is no room for it
   */
  async layOut(ask: KeepAsk, into: string): Promise<void> {
    const folder = join(this.#top, ask.repo.id);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const state = await this.#upToDate(ask, folder);
    for (const name of folders) await mkdir(join(into, name), { mode: 0o700 });
    for (const { name } of state.packs) {
      for (const end of ['pack', 'idx']) {
        await link(join(folder, `${name}.${end}`), join(into, 'objects', 'pack', `${name}.${end}`));
      }
    }
    await link(join(folder, `refs-${state.at}`, 'packed-refs'), join(into, 'packed-refs'));
    await this.#plain(join(into, 'HEAD'), `ref: refs/heads/${state.head}\n`, state.headAt);
    await this.#plain(join(into, 'config'), configText, 0);
    await utimes(join(into, 'packed-refs'), state.at, state.at);
    for (const name of folders.toReversed()) await utimes(join(into, name), state.at, state.at);
  }

  async #plain(path: string, text: string, at: number): Promise<void> {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.utimes(at, at);
    } finally {
      await file.close();
    }
  }

  async #upToDate(ask: KeepAsk, folder: string): Promise<State> {
    const { refs, repo } = ask;
    const old = await readState(folder);
    const digest = refsDigest(refs);
    const head = repo.defaultBranch;
    const now = new Date();
    if (old?.digest === digest && old.head === head) {
      await utimes(join(folder, stateFile), now, now);
      return old;
    }
    const known = old?.digest === digest ? refs : await readRefs(folder, old);
    const packs = await this.#packs(ask, folder, { old, known });
    const seconds = Math.floor(now.getTime() / 1000);
    const at = Math.max(seconds, (old?.at ?? 0) + 1);
    const listed = join(folder, `refs-${at}`);
    await rm(listed, { recursive: true, force: true });
    await mkdir(listed, { mode: 0o700 });
    await writePackedRefs(listed, refs);
    const headAt = old?.head === head ? old.headAt : at;
    const state: State = { digest, head, at, headAt, packs };
    await writeDurably(join(folder, stateFile), JSON.stringify(state), 0o600);
    await clear(folder, state);
    return state;
  }

  async #packs(
    { directory, refs, signal }: KeepAsk,
    folder: string,
    { old, known }: { old: State | undefined; known: RefList },
  ): Promise<State['packs']> {
    const [first, ...later] = old?.packs ?? [];
    const laterBytes = later.reduce((sum, { bytes }) => sum + bytes, 0);
    const full = later.length >= mostPacks || (first !== undefined && laterBytes > first.bytes);
    const anew = first === undefined || (full && later.length > 1);
    const held = new Set(anew ? [] : known.values());
    const wants = [...new Set(refs.values())].filter((oid) => !held.has(oid));
    const before = anew ? [] : (old?.packs ?? []);
    if (wants.length === 0) return before;
    if (anew) await this.#room.forSync(await sizeOfTree(join(directory, 'objects')));
    else await this.#room.onDisk();
    const there = held.size === 0 ? new Map() : await typesOf(this.#git, directory, [...held]);
    const haves = [...there.keys()];
    const made = await writeIndexedPack(this.#git, directory, { wants, haves, folder, signal });
    return [...before.filter(({ name }) => name !== made.name), made];
  }

  /** Drops what is kept of a repository. */
  async drop(repoId: string): Promise<void> {
    const aside = join(this.#top, `gone-${randomUUID()}`);
    try {
      await rename(join(this.#top, repoId), aside);
    } catch {
      return;
    }
    await rm(aside, { recursive: true, force: true });
  }

  /** Drops what is kept of repositories that are no more, and what nobody asked for in a long time. */
  async sweep(isLive: (repoId: string) => Promise<boolean>): Promise<void> {
    for (const name of await readdir(this.#top).catch(() => [])) {
      const used = await stat(join(this.#top, name, stateFile)).catch(() => undefined);
      const isOld = used === undefined || Date.now() - used.mtimeMs > keptMs;
      if (!isOld && (await isLive(name))) continue;
      await rm(join(this.#top, name), { recursive: true, force: true });
    }
  }
}

/** @returns undefined where nothing whole is kept */
async function readState(folder: string): Promise<State | undefined> {
  try {
    const state = JSON.parse(await readFile(join(folder, stateFile), 'utf8')) as State;
    for (const { name } of state.packs) {
      for (const end of ['pack', 'idx']) await stat(join(folder, `${name}.${end}`));
    }
    await stat(join(folder, `refs-${state.at}`, 'packed-refs'));
    return state;
  } catch {
    return undefined;
  }
}

async function readRefs(folder: string, state: State | undefined): Promise<RefList> {
  const refs = new Map<string, string>();
  if (state === undefined) return refs;
  for await (const entries of allPacked(join(folder, `refs-${state.at}`))) {
    for (const [oid, ref] of entries) refs.set(ref, oid);
  }
  return refs;
}

/** Removes what no state tells of any more. */
async function clear(folder: string, { at, packs }: State): Promise<void> {
  const names = packs.flatMap(({ name }) => [`${name}.pack`, `${name}.idx`]);
  const kept = new Set([...names, stateFile, `refs-${at}`]);
  for (const name of await readdir(folder)) {
    if (!kept.has(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}
