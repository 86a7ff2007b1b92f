import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { sizeOfTree } from '../../programs/size.ts';

/** A directory for the files of one run, which another server may fill or read while the run lasts. */
export interface SyncSession {
  /** 32 hexadecimal digits: what the other side knows it by. */
  readonly token: string;
  readonly serverId: string;
  readonly repoId: string;
  /** `in`: they write, `out`: they read. */
  readonly direction: 'in' | 'out';
  readonly directory: string;
  /** Bytes that all its files together may have. */
  readonly limitBytes: number;
}

/** What is asked of a session besides whose it is. */
interface Wanted {
  readonly serverId: string;
  readonly repoId: string;
  readonly direction: SyncSession['direction'];
  readonly limitBytes?: number;
}

/** Bytes of a session's files besides what was announced: names and lists, a file that is being written anew. */
export const slackBytes = 4 * 1024 * 1024;

/** So long what a broken-off run left waits for the next one. */
const keptMs = 86_400_000;
const uuid = '[0-9a-f-]{36}';
const leftShape = new RegExp(`^sync-in-(${uuid})-(${uuid})-[0-9a-f]{32}$`);
/** As rsync calls a file that it is writing. */
const unfinished = /^\.(pack-[0-9a-f]{64}\.pack)\.[A-Za-z0-9]{6}$/;

/** Whether an entry of `incoming/` is what a run of sync left that may yet be carried on, after a restart too. */
export async function isSyncLeftover(incoming: string, entry: string): Promise<boolean> {
  if (!leftShape.test(entry)) return false;
  const found = await stat(join(incoming, entry)).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs < keptMs;
}

/**
 * The session directories of this process: all that another server's rsync ever sees. Their names tell whose they are,
 * so that what a run left, even one that a crash cut off, is found by the next one of the same two.
 */
export class SyncSessions {
  readonly #incoming: string;
  readonly #open = new Map<string, SyncSession>();

  constructor(dataDir: string) {
    this.#incoming = join(dataDir, 'incoming');
  }

  /** Opens a session; of an `in` one that broke off the files are kept. */
  async open(wanted: Wanted): Promise<SyncSession> {
    const { serverId, repoId, direction, limitBytes = Number.POSITIVE_INFINITY } = wanted;
    const token = randomBytes(16).toString('hex');
    const prefix = `sync-${direction}-${serverId}-${repoId}-`;
    const directory = join(this.#incoming, `${prefix}${token}`);
    const session = { token, serverId, repoId, direction, directory, limitBytes };
    this.#open.set(token, session);
    try {
      const [newest, ...others] = direction === 'in' ? await this.#left(prefix) : [];
      const resumed = newest !== undefined && (await takeOver(newest, directory));
      if (!resumed) await mkdir(directory, { mode: 0o700 });
      for (const path of others) await rm(path, { recursive: true, force: true });
      return session;
    } catch (error) {
      this.#open.delete(token);
      throw error;
    }
  }

  /** What earlier runs left, the newest first; what nobody came back for within a day is removed on the way. */
  async #left(prefix: string): Promise<string[]> {
    const used = new Set([...this.#open.values()].map(({ directory }) => directory));
    const found: { path: string; at: number }[] = [];
    for (const entry of await readdir(this.#incoming)) {
      const path = join(this.#incoming, entry);
      if (!leftShape.test(entry) || used.has(path)) continue;
      const isOld = !(await isSyncLeftover(this.#incoming, entry));
      if (isOld) await rm(path, { recursive: true, force: true });
      else if (entry.startsWith(prefix)) found.push({ path, at: await changedMs(path) });
    }
    return found.sort((one, other) => other.at - one.at).map(({ path }) => path);
  }

  /** @throws UserError `denied` for a token that is not this server's, not of this direction, or ended */
  find(token: string, serverId: string, direction: SyncSession['direction']): SyncSession {
    const session = this.#open.get(token);
    if (session?.serverId === serverId && session.direction === direction) return session;
    throw new UserError('denied', 'this session is not yours, or it has ended', {
      hint: 'begin the run anew',
    });
  }

  /** The bytes of the files that lie in a session. */
  async bytes({ directory }: SyncSession): Promise<number> {
    return sizeOfTree(directory);
  }

  /** Ends a session and removes its files. */
  async close({ token, directory }: SyncSession): Promise<void> {
    this.#open.delete(token);
    await rm(directory, { recursive: true, force: true });
  }

  /** Ends a session that broke off, and keeps what arrived for the next one. */
  async leave(session: SyncSession): Promise<void> {
    if (!this.#open.has(session.token)) return;
    const isEmpty = (await readdir(session.directory).catch(() => [])).length === 0;
    if (session.direction === 'out' || isEmpty) return this.close(session);
    this.#open.delete(session.token);
  }
}

async function changedMs(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

/** @returns false when it is gone */
async function takeOver(left: string, directory: string): Promise<boolean> {
  try {
    await rename(left, directory);
  } catch {
    return false;
  }
  await salvage(directory);
  return true;
}

/** An rsync that was killed had no time to give a pack its name, without which the next one does not look at it. */
async function salvage(directory: string): Promise<void> {
  for (const entry of await readdir(directory)) {
    const [, name] = unfinished.exec(entry) ?? [];
    if (name === undefined) continue;
    const [whole, part] = [join(directory, name), join(directory, entry)];
    const sizeOf = (path: string) =>
      stat(path).then(
        ({ size }) => size,
        () => -1,
      );
    if ((await sizeOf(part)) > (await sizeOf(whole))) await rename(part, whole);
    else await rm(part, { force: true });
  }
}
