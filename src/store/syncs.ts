import { constants, gunzipSync, gzipSync } from 'node:zlib';
import type { Kysely } from 'kysely';
import { linesDigest, type RefList, refLines } from '../model/sync-refs.ts';
import { type Actor, newId, write } from './changes.ts';
import type { LogPlace } from './digests.ts';
import { KnownLists } from './known-lists.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** The refs of another server's repository whose values this one has kept. */
export interface Base {
  readonly digest: string;
  readonly refs: RefList;
  /** Where its log ended when it told of them; undefined where it did not say. */
  readonly toldAt: ToldAt | undefined;
}

/** A place in the log of another server. */
export type ToldAt = Pick<LogPlace, 'epoch' | 'seq'>;

/** A repository here and the server it is kept equal with. */
export interface Pair {
  readonly serverId: string;
  readonly repoId: string;
}

export type SyncResult = 'up-to-date' | 'created' | 'updated' | 'conflict' | 'held' | 'failed';

/** What one run of sync came to; sizes in bytes. */
export interface SyncRun extends Pair {
  readonly direction: 'out' | 'in';
  readonly transport: 'none' | 'rsync' | 'tar';
  readonly result: SyncResult;
  readonly refsUpdated: number;
  readonly refsConflicted: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesTotal: number;
  /** The argv of the program that carried the objects. */
  readonly program?: string | undefined;
  readonly error?: string | undefined;
  readonly startedAt: string;
}

/** What was agreed with other servers, and the runs that led to it. */
export class Syncs {
  readonly #db: Database;
  readonly #lists = new KnownLists();

  constructor(db: Database) {
    this.#db = db;
  }

  async base({ serverId, repoId }: Pair): Promise<Base | undefined> {
    const bases = this.#db
      .selectFrom('sync_base')
      .where('server_id', '=', serverId)
      .where('repo_id', '=', repoId);
    const noted = await bases.select(['digest', 'epoch', 'seq']).executeTakeFirst();
    if (noted === undefined) return undefined;
    const known = this.#lists.of(noted.digest);
    const { epoch, seq } = noted;
    const toldAt = epoch === '' ? undefined : { epoch, seq };
    if (known !== undefined) return { digest: noted.digest, refs: known, toldAt };
    const row = await bases.select(['digest', 'refs']).executeTakeFirst();
    if (row === undefined) return undefined;
    const refs = unpack(row.refs);
    this.#lists.keep(row.digest, refs);
    return { digest: row.digest, refs, toldAt };
  }

  /** Notes where the other's log ended when it told of what is agreed. */
  async heard({ serverId, repoId }: Pair, { epoch, seq }: ToldAt): Promise<void> {
    await this.#db
      .updateTable('sync_base')
      .set({ epoch, seq })
      .where('server_id', '=', serverId)
      .where('repo_id', '=', repoId)
      .execute();
  }

  /** Notes the values of the other side that are kept here from now on. */
  async agree(pair: Pair, refs: RefList): Promise<void> {
    this.#lists.keep(await putBase(this.#db, pair, refs), refs);
  }

  /**
   * As `agree`, unless another run has noted something since.
   *
   * @param before - the digest of what was agreed when the run began; undefined for nothing
   * @returns false where nothing was noted
   */
  async agreeAfter(before: string | undefined, pair: Pair, refs: RefList): Promise<boolean> {
    const digest = await this.#db.transaction().execute(async (trx) => {
      const row = await trx
        .selectFrom('sync_base')
        .select('digest')
        .where('server_id', '=', pair.serverId)
        .where('repo_id', '=', pair.repoId)
        .executeTakeFirst();
      return row?.digest === before ? putBase(trx, pair, refs) : undefined;
    });
    if (digest !== undefined) this.#lists.keep(digest, refs);
    return digest !== undefined;
  }

  /** Writes a run down; one that did something is told to whoever follows events. */
  async ended(run: SyncRun, server: string, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      const { result } = run;
      await w.trx
        .insertInto('sync_run')
        .values({
          id: newId(),
          server_id: run.serverId,
          repo_id: run.repoId,
          direction: run.direction,
          transport: run.transport,
          result,
          refs_updated: run.refsUpdated,
          refs_conflicted: run.refsConflicted,
          bytes_sent: run.bytesSent,
          bytes_received: run.bytesReceived,
          bytes_total: run.bytesTotal,
          program: run.program ?? null,
          error: run.error ?? null,
          started_at: run.startedAt,
          ended_at: w.now,
        })
        .execute();
      if (result === 'up-to-date') return;
      const detail = { server, result, direction: run.direction };
      await w.log({ type: 'sync', repoId: run.repoId, subjectId: run.serverId, detail });
    });
  }

  /** What the last run of a repository with a server came to. */
  async lastOf({ serverId, repoId }: Pair): Promise<SyncResult | undefined> {
    const row = await this.#db
      .selectFrom('sync_run')
      .select('result')
      .where('server_id', '=', serverId)
      .where('repo_id', '=', repoId)
      .orderBy('ended_at', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row?.result as SyncResult | undefined;
  }

  /** When the last run ended that did not fail: of all with a server, or of one repository. */
  async doneAt({ serverId, repoId }: Partial<Pair> & Pick<Pair, 'serverId'>) {
    const runs = this.#db.selectFrom('sync_run').where('server_id', '=', serverId);
    const row = await (repoId === undefined ? runs : runs.where('repo_id', '=', repoId))
      .select('ended_at')
      .where('result', '<>', 'failed')
      .orderBy('ended_at', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row?.ended_at;
  }
}

/** @returns the digest of the list */
async function putBase(
  db: Kysely<Tables>,
  { serverId, repoId }: Pair,
  refs: RefList,
): Promise<string> {
  const text = refLines(refs).join('');
  const agreed = {
    digest: linesDigest(text),
    // Oids don't compress: looking longer for what repeats in them takes time alone.
    refs: gzipSync(text, { level: constants.Z_BEST_SPEED }),
    agreed_at: new Date().toISOString(),
  };
  await db
    .insertInto('sync_base')
    .values({ server_id: serverId, repo_id: repoId, ...agreed })
    .onConflict((on) => on.columns(['server_id', 'repo_id']).doUpdateSet(agreed))
    .execute();
  return agreed.digest;
}

function unpack(bytes: Buffer): RefList {
  const lines = gunzipSync(bytes).toString().split('\n').filter(Boolean);
  return new Map(lines.map((line) => [line.slice(41), line.slice(0, 40)]));
}
