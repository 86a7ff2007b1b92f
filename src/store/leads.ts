import { sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import { countOf } from './change-entries.ts';
import { type Actor, write } from './changes.ts';
import { compiled } from './compiled.ts';
import type { Server } from './servers.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** What this server has to do with the lead of another, or with its own that another took. */
export interface Lead {
  readonly serverId: string;
  /**
   * `draining`: what it lacks is being carried there, and it knows nothing of the lead yet; `giving`: it may have been
   * told to lead; `lost`: it leads, or knows who does. In these three nobody writes here. `taken`: this server leads in
   * its place. `followed`: it leads in the place of the one of `origin`.
   */
  readonly state: Tables['lead']['state'];
  /** The id of the data directory that led before. */
  readonly origin: string;
  readonly term: number;
  /** Whether what the one before had alone was fetched. */
  readonly recalled: boolean;
}

const fenceOf = (db: Database) =>
  compiled(db, () =>
    db.selectFrom('lead').selectAll().where('state', 'in', ['draining', 'giving', 'lost']),
  );

/** Who leads, as far as this server has a part in it (security.md, S22). */
export class Leads {
  readonly #db: Database;
  readonly #fence: ReturnType<typeof fenceOf>;

  constructor(db: Database) {
    this.#db = db;
    this.#fence = fenceOf(db);
  }

  async of(serverId: string): Promise<Lead | undefined> {
    const row = await this.#db
      .selectFrom('lead')
      .selectAll()
      .where('server_id', '=', serverId)
      .executeTakeFirst();
    return row && toLead(row);
  }

  /** Why nobody writes here: another leads, or may. */
  async fence(): Promise<Lead | undefined> {
    const [row] = await this.#fence();
    return row && toLead(row);
  }

  /** The highest term that this server led under or has followed. */
  async term(): Promise<number> {
    return countOf(this.#db, 'log_term');
  }

  /** What this server can tell of another that leads in the place of the one of this data directory. */
  async over(origin: string): Promise<Lead | undefined> {
    const rows = await this.#db
      .selectFrom('lead')
      .selectAll()
      .where('origin', '=', origin)
      .where('state', 'in', ['taken', 'followed'])
      .execute();
    return rows.map(toLead).sort((one, other) => other.term - one.term)[0];
  }

  /** Nobody writes here from now on, until `keep`, or the next start: a server is to have all, and then to lead. */
  async drain(server: Server, origin: string, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      const held = await w.trx
        .selectFrom('lead')
        .select('server_id')
        .where('state', 'in', ['draining', 'giving', 'lost'])
        .executeTakeFirst();
      if (held !== undefined) {
        throw new UserError('conflict', 'this server is being handed over already, or is led', {
          hint: 'see how it stands: servers list',
        });
      }
      const term = (await countOf(w.trx, 'log_term')) + 1;
      const row = { state: 'draining', origin, term, recalled: 1, at: w.now } as const;
      await w.trx
        .insertInto('lead')
        .values({ server_id: server.id, ...row })
        .onConflict((on) => on.column('server_id').doUpdateSet(row))
        .execute();
      const detail = { server: server.name, term };
      await w.log({ type: 'server-lead-drained', subjectId: server.id, detail });
    });
  }

  /** It has all, and is about to be told to lead: what becomes of that only it can say from now on. */
  async give(serverId: string): Promise<void> {
    await this.#db
      .updateTable('lead')
      .set({ state: 'giving' })
      .where('server_id', '=', serverId)
      .where('state', '=', sql.lit('draining'))
      .execute();
  }

  /** It does not lead, for certain: this server goes on. */
  async keep(server: Server, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .deleteFrom('lead')
        .where('server_id', '=', server.id)
        .where('state', 'in', ['draining', 'giving'])
        .execute();
      const detail = { server: server.name };
      await w.log({ type: 'server-lead-kept', subjectId: server.id, detail });
    });
  }

  /** What was drained for nobody, for the process that did it is gone. */
  async forgetDrains(): Promise<void> {
    await this.#db.deleteFrom('lead').where('state', '=', sql.lit('draining')).execute();
  }

  /** Another leads by a higher term: nobody writes here any more. @returns whether that is news */
  async lose(
    server: Server,
    { origin, term }: Pick<Lead, 'origin' | 'term'>,
    by: Actor,
  ): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const held = await w.trx
        .selectFrom('lead')
        .select('server_id')
        .where('state', 'in', ['giving', 'lost'])
        .executeTakeFirst();
      if (held !== undefined || (await countOf(w.trx, 'log_term')) >= term) return false;
      const row = { state: 'lost', origin, term, recalled: 0, at: w.now } as const;
      await w.trx
        .insertInto('lead')
        .values({ server_id: server.id, ...row })
        .onConflict((on) => on.column('server_id').doUpdateSet(row))
        .execute();
      const detail = { server: server.name, term };
      await w.log({ type: 'server-lead-lost', subjectId: server.id, detail });
      return true;
    });
  }

  /** What the one that led before had alone is here: what is here goes there from now on. */
  async recalled(server: Server, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('lead')
        .set({ recalled: 1 })
        .where('server_id', '=', server.id)
        .where('state', '=', sql.lit('taken'))
        .execute();
      const detail = { server: server.name };
      await w.log({ type: 'server-lead-recalled', subjectId: server.id, detail });
    });
  }
}

function toLead(row: Tables['lead']): Lead {
  const { server_id: serverId, state, origin, term, recalled } = row;
  return { serverId, state, origin, term, recalled: recalled === 1 };
}
