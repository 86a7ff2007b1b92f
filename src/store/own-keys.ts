import { type Actor, write } from './changes.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** A key of this server's own whose place another one takes, or which is to take a place. */
export interface OwnKey {
  readonly fingerprint: string;
  /** `sign-in`: one of before, for servers that know no newer one; `host`: the next one, announced already. */
  readonly kind: 'sign-in' | 'host';
  /** Of the private half's file. */
  readonly path: string;
  /** ISO 8601: until then others may know the earlier one; the next one is shown from then on. */
  readonly until: string;
  /** JSON; what others are told about a host key. */
  readonly statement: string | undefined;
}

/** This server's own keys while they change. */
export class OwnKeys {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The newest last. */
  async of(kind: OwnKey['kind']): Promise<readonly OwnKey[]> {
    const rows = await this.#db
      .selectFrom('own_key')
      .selectAll()
      .where('kind', '=', kind)
      .orderBy('until')
      .execute();
    return rows.map((row) => ({ ...row, statement: row.statement ?? undefined }));
  }

  async put(key: OwnKey, by: Actor): Promise<void> {
    const { fingerprint, kind, path, until, statement = null } = key;
    await write(this.#db, by, async (w) => {
      const row: Tables['own_key'] = { fingerprint, kind, path, until, statement };
      await w.trx
        .insertInto('own_key')
        .values(row)
        .onConflict((on) => on.column('fingerprint').doUpdateSet({ kind, path, until, statement }))
        .execute();
      await w.log({ type: 'own-key', detail: { kind, fingerprint, until } });
    });
  }

  async drop({ fingerprint, kind }: Pick<OwnKey, 'fingerprint' | 'kind'>, by: Actor) {
    await write(this.#db, by, async (w) => {
      await w.trx.deleteFrom('own_key').where('fingerprint', '=', fingerprint).execute();
      await w.log({ type: 'own-key', detail: { kind, fingerprint, over: true } });
    });
  }

  /** The ids of the servers that were told of a key. */
  async told(fingerprint: string): Promise<ReadonlySet<string>> {
    const rows = await this.#db
      .selectFrom('own_key_told')
      .select('server_id')
      .where('fingerprint', '=', fingerprint)
      .execute();
    return new Set(rows.map((row) => row.server_id));
  }

  async tell(serverId: string, fingerprint: string): Promise<void> {
    await this.#db
      .insertInto('own_key_told')
      .values({ server_id: serverId, fingerprint, told_at: new Date().toISOString() })
      .onConflict((on) => on.columns(['server_id', 'fingerprint']).doNothing())
      .execute();
  }
}
