import { sql } from 'kysely';
import type { PeerRole } from '../model/peer.ts';
import type { Grantable } from '../model/right.ts';
import { type Actor, write } from './changes.ts';
import { compiled } from './compiled.ts';
import type { Server } from './servers.ts';
import type { Database } from './sqlite.ts';

/** A repository here that is kept equal with one of another server. */
export interface Link {
  readonly serverId: string;
  readonly repoId: string;
  /** The repository's id over there, once the two have met. */
  readonly remoteId: string | undefined;
  /** Whether it was born there, so that it is a mirror here. */
  readonly bornThere: boolean;
  /** Which way alone it moves, seen from here; both ways without. */
  readonly oneWay: OneWay | undefined;
}

/** `out`: it is only sent there; `in`: only taken from there. */
export type OneWay = 'out' | 'in';

/** The ways in which a linked repository moves; none without a link. */
export function waysOf(link: Link | undefined): readonly OneWay[] {
  if (link === undefined) return [];
  return link.oneWay === undefined ? ['out', 'in'] : [link.oneWay];
}

const mainsOf = (db: Database, repoId: string) =>
  db
    .selectFrom('server_link')
    .innerJoin('server', 'server.id', 'server_link.server_id')
    .select(['server.id', 'server.name', 'server.url'])
    .where('server_link.repo_id', '=', repoId)
    .where('server_link.born_there', '=', sql.lit(1))
    .where('server.role', '=', sql.lit('main'));

const mainOfRepo = (db: Database) => compiled(db, (repoId: string) => mainsOf(db, repoId));

const writerOfRepo = (db: Database) =>
  compiled(db, (repoId: string) =>
    mainsOf(db, repoId).unionAll(
      db
        .selectFrom('lead')
        .innerJoin('server', 'server.id', 'lead.server_id')
        .select(['server.id', 'server.name', 'server.url'])
        .where('lead.state', 'in', ['draining', 'giving', 'lost']),
    ),
  );

/** A server, as far as people have to know of it. */
interface Elsewhere {
  readonly id: string;
  readonly name: string;
  readonly url: string | null;
}

/** Which repositories are linked with which server, and what bears on a server's right to one. */
export class ServerLinks {
  readonly #db: Database;
  readonly #mainOf: ReturnType<typeof mainOfRepo>;
  readonly #writerOf: ReturnType<typeof writerOfRepo>;

  constructor(db: Database) {
    this.#db = db;
    this.#mainOf = mainOfRepo(db);
    this.#writerOf = writerOfRepo(db);
  }

  async of(serverId: string, repoId: string): Promise<Link | undefined> {
    const row = await this.#db
      .selectFrom('server_link')
      .selectAll()
      .where('server_id', '=', serverId)
      .where('repo_id', '=', repoId)
      .executeTakeFirst();
    return row && toLink(row);
  }

  /** The link whose repository over there has this id. */
  async byRemote(serverId: string, remoteId: string): Promise<Link | undefined> {
    const row = await this.#db
      .selectFrom('server_link')
      .selectAll()
      .where('server_id', '=', serverId)
      .where('remote_id', '=', remoteId)
      .executeTakeFirst();
    return row && toLink(row);
  }

  /** All links of a server, in the order of their ids. */
  async listOf(serverId: string): Promise<readonly Link[]> {
    const rows = await this.#db
      .selectFrom('server_link')
      .selectAll()
      .where('server_id', '=', serverId)
      .orderBy('repo_id')
      .execute();
    return rows.map(toLink);
  }

  /** All links of a repository. */
  async ofRepo(repoId: string): Promise<readonly Link[]> {
    const rows = await this.#db
      .selectFrom('server_link')
      .selectAll()
      .where('repo_id', '=', repoId)
      .execute();
    return rows.map(toLink);
  }

  /** The main that a repository is a mirror of. */
  async mainOf(repoId: string): Promise<Elsewhere | undefined> {
    return (await this.#mainOf(repoId))[0];
  }

  /** The server that alone writes to a repository: its main, else the one that leads in the place of this one, or may. */
  async writerOf(repoId: string): Promise<Elsewhere | undefined> {
    return (await this.#writerOf(repoId))[0];
  }

  /** What a server is to us, and what it was given on one repository. */
  async holdings(
    serverId: string,
    repo: { id: string; namespaceId: string },
  ): Promise<
    | {
        role: PeerRole;
        linked: boolean;
        bornThere: boolean;
        oneWay: OneWay | undefined;
        grants: readonly Grantable[];
      }
    | undefined
  > {
    const server = await this.#db
      .selectFrom('server')
      .select('role')
      .where('id', '=', serverId)
      .executeTakeFirst();
    if (server === undefined) return undefined;
    const link = await this.of(serverId, repo.id);
    const grants = await this.#db
      .selectFrom('access_grant')
      .select('right')
      .where('who_id', '=', serverId)
      .where('on_id', 'in', [repo.id, repo.namespaceId])
      .execute();
    return {
      role: server.role,
      linked: link !== undefined,
      bornThere: link?.bornThere ?? false,
      oneWay: link?.oneWay,
      grants: grants.map(({ right }) => right),
    };
  }

  /** Links a repository, or completes its link. @returns whether anything changed */
  async link(
    server: Server,
    repo: { id: string; fullName: string },
    { remoteId, bornThere }: { remoteId?: string | undefined; bornThere?: boolean },
    by: Actor,
  ): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const held = await w.trx
        .selectFrom('server_link')
        .select('remote_id')
        .where('server_id', '=', server.id)
        .where('repo_id', '=', repo.id)
        .executeTakeFirst();
      if (held !== undefined && (remoteId === undefined || held.remote_id === remoteId)) {
        return false;
      }
      if (held === undefined) {
        const born = Number(bornThere ?? false);
        const row = { server_id: server.id, repo_id: repo.id, born_there: born };
        await w.trx
          .insertInto('server_link')
          .values({ ...row, remote_id: remoteId ?? null, linked_at: w.now })
          .execute();
      } else {
        await w.trx
          .updateTable('server_link')
          .set({ remote_id: remoteId ?? null })
          .where('server_id', '=', server.id)
          .where('repo_id', '=', repo.id)
          .execute();
      }
      const detail = { server: server.name, made: held === undefined };
      await w.log({ type: 'server-linked', repoId: repo.id, subjectId: server.id, detail });
      return true;
    });
  }

  /** Links a repository, or changes which way it moves. @param oneWay - both ways without */
  async share(
    server: Server,
    repo: { id: string; fullName: string },
    oneWay: OneWay | undefined,
    by: Actor,
  ): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const directions = { gives: Number(oneWay !== 'in'), takes: Number(oneWay !== 'out') };
      const held = await w.trx
        .selectFrom('server_link')
        .select(['gives', 'takes'])
        .where('server_id', '=', server.id)
        .where('repo_id', '=', repo.id)
        .executeTakeFirst();
      if (held?.gives === directions.gives && held.takes === directions.takes) return false;
      const row = { server_id: server.id, repo_id: repo.id, born_there: 0, linked_at: w.now };
      await w.trx
        .insertInto('server_link')
        .values({ ...row, remote_id: null, ...directions })
        .onConflict((on) => on.columns(['server_id', 'repo_id']).doUpdateSet(directions))
        .execute();
      const detail = { server: server.name, one_way: oneWay ?? null };
      await w.log({ type: 'server-linked', repoId: repo.id, subjectId: server.id, detail });
      return true;
    });
  }

  /** @returns whether there was such a link */
  async unlink(server: Server, repo: { id: string }, by: Actor): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const { numDeletedRows } = await w.trx
        .deleteFrom('server_link')
        .where('server_id', '=', server.id)
        .where('repo_id', '=', repo.id)
        .executeTakeFirst();
      await w.trx
        .deleteFrom('sync_base')
        .where('server_id', '=', server.id)
        .where('repo_id', '=', repo.id)
        .execute();
      if (numDeletedRows === 0n) return false;
      const detail = { server: server.name };
      await w.log({ type: 'server-unlinked', repoId: repo.id, subjectId: server.id, detail });
      return true;
    });
  }

  /** Whether a namespace here was made for the mirrors of a server. */
  async isMirrorNamespace(ownerId: string, serverId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('mirror_namespace')
      .select('owner_id')
      .where('owner_id', '=', ownerId)
      .where('server_id', '=', serverId)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** Notes that a namespace was made for the mirrors of a server. */
  async noteNamespace(ownerId: string, server: Server, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .insertInto('mirror_namespace')
        .values({ owner_id: ownerId, server_id: server.id })
        .onConflict((on) => on.column('owner_id').doNothing())
        .execute();
      const detail = { server: server.name };
      await w.log({ type: 'server-namespace', subjectId: ownerId, detail });
    });
  }
}

function toLink(row: {
  server_id: string;
  repo_id: string;
  remote_id: string | null;
  born_there: number;
  gives: number;
  takes: number;
}): Link {
  return {
    serverId: row.server_id,
    repoId: row.repo_id,
    remoteId: row.remote_id ?? undefined,
    bornThere: row.born_there === 1,
    oneWay: row.takes === 0 ? 'out' : row.gives === 0 ? 'in' : undefined,
  };
}
