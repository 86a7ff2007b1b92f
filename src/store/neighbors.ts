import { type SelectQueryBuilder, sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import { neighborName } from '../model/hello.ts';
import { fingerprint } from '../model/sshkey.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import { select } from './repositories.ts';
import { type NewServer, putServer } from './servers.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** A server that was seen on the network; what it said of itself are its own claims. */
export interface Neighbor {
  readonly id: string;
  /** `nb-…`, or what the registry calls it once it is confirmed. */
  readonly name: string;
  /** Of its signing key. */
  readonly fingerprint: string;
  readonly key: Buffer;
  readonly toldName: string;
  readonly version: string;
  /** Where it was seen last, and the port of its beacon there. */
  readonly address: string;
  readonly port: number;
  readonly sshPort: number;
  readonly publicRepositories: number;
  /** Its id in the registry of servers; undefined until it is confirmed. */
  readonly serverId: string | undefined;
  readonly seenAt: string;
}

/** One that answered just now. */
export type Seen = Pick<
  Neighbor,
  'key' | 'toldName' | 'version' | 'address' | 'port' | 'sshPort' | 'publicRepositories'
>;

/** A repository here that was copied from a neighbor. */
export interface NeighborCopy {
  readonly neighborId: string;
  /** What it is called over there. */
  readonly path: string;
}

/** So many are kept unconfirmed: anybody on the network can make up more. */
export const mostUnconfirmed = 256;

/** What the network said of itself, and who of it was confirmed. */
export class Neighbors {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** All of them, in the order of their first names: there are a few hundred at the most. */
  async list(): Promise<readonly Neighbor[]> {
    const rows = await rowsOf(this.#db).orderBy('neighbor.name').execute();
    return rows.map(toNeighbor);
  }

  /** By `nb-…`, also once it is confirmed, or by the name in the registry. */
  async byName(name: string): Promise<Neighbor | undefined> {
    const row =
      (await rowsOf(this.#db).where('neighbor.name', '=', name).executeTakeFirst()) ??
      (await rowsOf(this.#db).where('server.name', '=', name).executeTakeFirst());
    return row && toNeighbor(row);
  }

  async byKey(blob: Buffer): Promise<Neighbor | undefined> {
    const row = await rowsOf(this.#db)
      .where('neighbor.fingerprint', '=', fingerprint(blob))
      .executeTakeFirst();
    return row?.blob.equals(blob) === true ? toNeighbor(row) : undefined;
  }

  /**
   * Registers one that answered, or notes where it answers now; a confirmed one is reached there from now on.
   *
   * @returns what came of it: `full` where so many are unconfirmed that no more are taken
   */
  async see(seen: Seen, by: Actor): Promise<'added' | 'moved' | 'same' | 'full'> {
    return write(this.#db, by, async (w) => {
      const held = await w.trx
        .selectFrom('neighbor')
        .selectAll()
        .where('fingerprint', '=', fingerprint(seen.key))
        .executeTakeFirst();
      if (held === undefined) return add(w, seen, by);
      const { address, port, ssh_port, server_id } = held;
      const stays = address === seen.address && port === seen.port && ssh_port === seen.sshPort;
      await w.trx
        .updateTable('neighbor')
        .set(claimsOf(seen, w.now))
        .where('id', '=', held.id)
        .execute();
      if (stays) return 'same';
      if (server_id !== null) {
        const url = urlOf(seen);
        await w.trx.updateTable('server').set({ url }).where('id', '=', server_id).execute();
      }
      const detail = { neighbor: held.name, address: seen.address };
      await w.log({ type: 'neighbor-moved', subjectId: held.id, detail });
      return 'moved';
    });
  }

  /**
   * Makes a server of a neighbor whose words people have compared: pinned, its sign-in key taken, role `neighbor`.
   *
   * @returns the server's id
   * @throws UserError `conflict` when the name or the key is taken, or it is confirmed already
   */
  async confirm(seen: Seen, server: Omit<NewServer, 'role' | 'url'>, by: Actor): Promise<string> {
    return write(this.#db, by, async (w) => {
      const held = await w.trx
        .selectFrom('neighbor')
        .select(['id', 'name', 'server_id'])
        .where('fingerprint', '=', fingerprint(seen.key))
        .executeTakeFirst();
      if (held !== undefined && held.server_id !== null) {
        throw new UserError('conflict', `${held.name}: this neighbor is confirmed already`);
      }
      const url = urlOf(seen);
      const serverId = await putServer(w, { ...server, role: 'neighbor', url }, by);
      const confirmed = { ...claimsOf(seen, w.now), server_id: serverId };
      if (held === undefined) {
        await w.trx
          .insertInto('neighbor')
          .values({ ...rowOf(seen, by, w.now), ...confirmed })
          .execute();
      } else {
        await w.trx.updateTable('neighbor').set(confirmed).where('id', '=', held.id).execute();
      }
      const detail = { neighbor: neighborName(seen.key), server: server.name };
      await w.log({ type: 'neighbor-confirmed', subjectId: serverId, detail });
      return serverId;
    });
  }

  /** Forgets a neighbor, and a confirmed one's server with all that it was given. */
  async remove({ id, name, serverId }: Neighbor, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      if (serverId !== undefined) {
        await w.trx.deleteFrom('access_grant').where('who_id', '=', serverId).execute();
        await w.trx.deleteFrom('server').where('id', '=', serverId).execute();
      }
      await w.trx.deleteFrom('neighbor').where('id', '=', id).execute();
      await w.log({ type: 'neighbor-removed', subjectId: id, detail: { neighbor: name } });
    });
  }

  /** Where a repository here was copied from. */
  async copyOf(repoId: string): Promise<NeighborCopy | undefined> {
    const row = await this.#db
      .selectFrom('neighbor_copy')
      .select(['neighbor_id', 'path'])
      .where('repo_id', '=', repoId)
      .executeTakeFirst();
    return row && { neighborId: row.neighbor_id, path: row.path };
  }

  /** Notes that a repository here is a copy. */
  async noteCopy(
    repo: { id: string; fullName: string },
    { neighbor, path }: { neighbor: Neighbor; path: string },
    by: Actor,
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .insertInto('neighbor_copy')
        .values({ repo_id: repo.id, neighbor_id: neighbor.id, path })
        .onConflict((on) => on.column('repo_id').doUpdateSet({ neighbor_id: neighbor.id, path }))
        .execute();
      const detail = { neighbor: neighbor.name, path };
      await w.log({ type: 'neighbor-copied', repoId: repo.id, subjectId: neighbor.id, detail });
    });
  }

  /** How many repositories are public: what anybody may know. */
  async publicCount(): Promise<number> {
    const { count } = await this.#db
      .selectFrom('repository')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('visibility', '=', sql.lit('public'))
      .where('deleted_at', 'is', null)
      .executeTakeFirstOrThrow();
    return count;
  }

  /** The full names of public repositories, so many at the most. */
  async publicNames(limit: number): Promise<readonly string[]> {
    const rows = await select(this.#db)
      .where('repository.visibility', '=', sql.lit('public'))
      .limit(limit)
      .execute();
    return rows.map(({ namespace, name }) => `${namespace}/${name}`);
  }
}

async function add(w: Write, seen: Seen, by: Actor): Promise<'added' | 'full'> {
  const { count } = await w.trx
    .selectFrom('neighbor')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  if (count >= mostUnconfirmed) return 'full';
  const row = rowOf(seen, by, w.now);
  await w.trx.insertInto('neighbor').values(row).execute();
  const detail = { neighbor: row.name, address: seen.address };
  await w.log({ type: 'neighbor-added', subjectId: row.id, detail });
  return 'added';
}

function rowOf(seen: Seen, by: Actor, now: string): Tables['neighbor'] {
  return {
    id: newId(),
    name: neighborName(seen.key),
    fingerprint: fingerprint(seen.key),
    blob: seen.key,
    ...claimsOf(seen, now),
    server_id: null,
    added_by: by.principal,
  };
}

function claimsOf(seen: Seen, now: string) {
  const { toldName, version, address, port, sshPort, publicRepositories } = seen;
  return {
    told_name: toldName,
    version,
    address,
    port,
    ssh_port: sshPort,
    public_repositories: publicRepositories,
    seen_at: now,
  };
}

function urlOf({ address, sshPort }: Seen): string {
  return `cpm@${address.includes(':') ? `[${address}]` : address}:${sshPort}`;
}

type Row = Tables['neighbor'] & { server_name: string | null };

function rowsOf(db: Database): SelectQueryBuilder<Tables, 'neighbor' | 'server', Row> {
  return db
    .selectFrom('neighbor')
    .leftJoin('server', 'server.id', 'neighbor.server_id')
    .selectAll('neighbor')
    .select('server.name as server_name') as unknown as SelectQueryBuilder<
    Tables,
    'neighbor' | 'server',
    Row
  >;
}

function toNeighbor(row: Row): Neighbor {
  return {
    id: row.id,
    name: row.server_name ?? row.name,
    fingerprint: row.fingerprint,
    key: row.blob,
    toldName: row.told_name,
    version: row.version,
    address: row.address,
    port: row.port,
    sshPort: row.ssh_port,
    publicRepositories: row.public_repositories,
    serverId: row.server_id ?? undefined,
    seenAt: row.seen_at,
  };
}
