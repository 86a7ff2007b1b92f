import type { LogPlace } from './digests.ts';
import type { Database } from './sqlite.ts';
import type { Pair } from './syncs.ts';

/** How far this server has read another's changes, and when it met it. */
export interface PeerPlace {
  /** Where the other's log was read to; undefined before the first time, or when all is to be compared anew. */
  readonly place: LogPlace | undefined;
  /** How often in a row it could not be reached. */
  readonly attempts: number;
  /** ISO 8601: it is not tried before. */
  readonly nextAt: string;
  /** ISO 8601: when it was met last, and asked for all that it has. */
  readonly metAt: string | undefined;
}

const unmet: PeerPlace = { place: undefined, attempts: 0, nextAt: '', metAt: undefined };

/** What is remembered of each server between two meetings. */
export class SyncPeers {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async of(serverId: string): Promise<PeerPlace> {
    const row = await this.#db
      .selectFrom('sync_peer')
      .selectAll()
      .where('server_id', '=', serverId)
      .executeTakeFirst();
    if (row === undefined) return unmet;
    const { epoch, cursor: seq, stamp, attempts, next_at: nextAt } = row;
    const place = epoch === '' ? undefined : { epoch, seq, stamp };
    return { place, attempts, nextAt, metAt: row.met_at ?? undefined };
  }

  /** The server was met, and its log read to here. */
  async met(serverId: string, { epoch, seq, stamp }: LogPlace): Promise<void> {
    const now = new Date().toISOString();
    const met = { epoch, cursor: seq, stamp, attempts: 0, next_at: '', met_at: now };
    await this.#put(serverId, met);
  }

  /** It could not be reached, and is left alone until then. */
  async missed(serverId: string, attempts: number, nextAt: string): Promise<void> {
    await this.#put(serverId, { attempts, next_at: nextAt });
  }

  /** It is tried at once. */
  async tryNow(serverId: string): Promise<void> {
    await this.#db
      .updateTable('sync_peer')
      .set({ next_at: '' })
      .where('server_id', '=', serverId)
      .execute();
  }

  /** A server that is left alone for longer is tried then. @param at - ISO 8601 */
  async tryBy(serverId: string, at: string): Promise<void> {
    await this.#db
      .updateTable('sync_peer')
      .set({ next_at: at })
      .where('server_id', '=', serverId)
      .where('next_at', '>', at)
      .execute();
  }

  /** All that it has is compared anew at the next meeting, which comes at once. */
  async forget(serverId: string): Promise<void> {
    await this.#db
      .updateTable('sync_peer')
      .set({ epoch: '', cursor: 0, stamp: '', next_at: '' })
      .where('server_id', '=', serverId)
      .execute();
  }

  async #put(
    serverId: string,
    set: Partial<Record<'epoch' | 'stamp' | 'next_at' | 'met_at', string>> & {
      cursor?: number;
      attempts: number;
    },
  ): Promise<void> {
    await this.#db
      .insertInto('sync_peer')
      .values({ server_id: serverId, epoch: '', cursor: 0, stamp: '', next_at: '', ...set })
      .onConflict((on) => on.column('server_id').doUpdateSet(set))
      .execute();
  }

  /** The default branch that two servers agreed on last. */
  async head({ serverId, repoId }: Pair): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('sync_head')
      .select('head')
      .where('server_id', '=', serverId)
      .where('repo_id', '=', repoId)
      .executeTakeFirst();
    return row?.head;
  }

  async agreeHead({ serverId, repoId }: Pair, head: string): Promise<void> {
    await this.#db
      .insertInto('sync_head')
      .values({ server_id: serverId, repo_id: repoId, head })
      .onConflict((on) => on.columns(['server_id', 'repo_id']).doUpdateSet({ head }))
      .execute();
  }
}
