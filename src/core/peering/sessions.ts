import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { sizeOfTree } from '../../programs/size.ts';

/** A directory for the files of one run, which another server may fill or read while the run lasts. */
export interface SyncSession {
  /** 32 hexadecimal digits: the name of the directory, and of what the other side may touch. */
  readonly token: string;
  readonly serverId: string;
  readonly repoId: string;
  /** `in`: they write, `out`: they read. */
  readonly direction: 'in' | 'out';
  readonly directory: string;
}

/** The session directories of this process. They are all that another server's rsync ever sees. */
export class SyncSessions {
  readonly #incoming: string;
  readonly #open = new Map<string, SyncSession>();
  /** What a run that broke off left, to be carried on by the next one of the same two. */
  readonly #left = new Map<string, string>();

  constructor(dataDir: string) {
    this.#incoming = join(dataDir, 'incoming');
  }

  /** Opens a session; of an `in` one that broke off the files are kept. */
  async open(
    serverId: string,
    repoId: string,
    direction: SyncSession['direction'],
  ): Promise<SyncSession> {
    const token = randomBytes(16).toString('hex');
    const directory = join(this.#incoming, `sync-${token}`);
    const key = `${serverId} ${repoId} ${direction}`;
    const left = this.#left.get(key);
    this.#left.delete(key);
    const resumed =
      left !== undefined &&
      (await rename(left, directory).then(
        () => true,
        () => false,
      ));
    if (!resumed) await mkdir(directory, { mode: 0o700 });
    const session = { token, serverId, repoId, direction, directory };
    this.#open.set(token, session);
    return session;
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
    const { serverId, repoId, direction } = session;
    if (!this.#open.has(session.token)) return;
    if (direction === 'out') return this.close(session);
    this.#open.delete(session.token);
    const key = `${serverId} ${repoId} ${direction}`;
    const older = this.#left.get(key);
    this.#left.set(key, session.directory);
    if (older !== undefined) await rm(older, { recursive: true, force: true });
  }
}
