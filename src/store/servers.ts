import { UserError } from '../model/errors.ts';
import type { PeerRole, PeerState } from '../model/peer.ts';
import { fingerprint, type PublicKey } from '../model/sshkey.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import { putServerKey } from './server-keys.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** Another server that this one knows. */
export interface Server {
  readonly id: string;
  readonly name: string;
  readonly role: PeerRole;
  /** `cpm@host:port`; undefined for one that only comes to us. */
  readonly url: string | undefined;
  /** The pinned host key's fingerprint. */
  readonly hostKey: string | undefined;
  /** The pinned host key as `TYPE BASE64`, once it was seen. */
  readonly hostKeyLine: string | undefined;
  /** Bytes a second. */
  readonly bandwidth: number | undefined;
  readonly state: PeerState;
  readonly error: string | undefined;
  readonly latencyMs: number | undefined;
  readonly checkedAt: string | undefined;
  /** The id of its data directory, once it has told it. */
  readonly houseId: string | undefined;
}

/** A key that another server signs in with. */
export interface ServerKey {
  readonly id: string;
  readonly serverId: string;
  readonly fingerprint: string;
  readonly blob: Buffer;
  /** ISO 8601; undefined for one without an end. */
  readonly expiresAt: string | undefined;
}

export interface NewServer {
  readonly name: string;
  readonly role: PeerRole;
  readonly url?: string | undefined;
  readonly hostKey?: string | undefined;
  readonly hostKeyLine?: string | undefined;
  readonly key?: PublicKey | undefined;
  readonly bandwidth?: number | undefined;
  readonly houseId?: string | undefined;
}

/** What a look at a server found. */
export interface Health {
  readonly state: PeerState;
  readonly error?: string | undefined;
  readonly latencyMs?: number | undefined;
  readonly houseId?: string | undefined;
}

type ServerRow = Omit<Tables['server'], 'added_at' | 'added_by'>;

/** The registry of other servers: what they are to us, where they are, and the keys of both directions. */
export class Servers {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async byName(name: string): Promise<Server | undefined> {
    return this.#one('name', name);
  }

  async byId(id: string): Promise<Server | undefined> {
    return this.#one('id', id);
  }

  async #one(column: 'id' | 'name', value: string): Promise<Server | undefined> {
    const row = await this.#db
      .selectFrom('server')
      .selectAll()
      .where(column, '=', value)
      .executeTakeFirst();
    return row && toServer(row);
  }

  /** All of them, in the order of their names: there are a few. */
  async list(): Promise<readonly Server[]> {
    const rows = await this.#db.selectFrom('server').selectAll().orderBy('name').execute();
    return rows.map(toServer);
  }

  /** The server that may sign in with this blob: one look-up by its SHA-256, then the bytes compared. */
  async byKey(blob: Buffer): Promise<{ server: Server; key: ServerKey } | undefined> {
    const row = await this.#db
      .selectFrom('server_key')
      .selectAll()
      .where('fingerprint', '=', fingerprint(blob))
      .executeTakeFirst();
    if (row === undefined || !row.blob.equals(blob) || hasEnded(row)) return undefined;
    const server = await this.byId(row.server_id);
    return server && { server, key: toKey(row) };
  }

  /** @param id - of the key, a UUID */
  async byKeyId(id: string): Promise<{ server: Server; key: ServerKey } | undefined> {
    const row = await this.#db
      .selectFrom('server_key')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst();
    const server = row && !hasEnded(row) && (await this.byId(row.server_id));
    return server ? { server, key: toKey(row) } : undefined;
  }

  /** Those that it may sign in with now. */
  async keysOf(serverId: string): Promise<readonly ServerKey[]> {
    const rows = await this.#db
      .selectFrom('server_key')
      .selectAll()
      .where('server_id', '=', serverId)
      .execute();
    return rows.filter((row) => !hasEnded(row)).map(toKey);
  }

  /** @returns its id. @throws UserError `conflict` when the name or the key is taken */
  async add(server: NewServer, by: Actor): Promise<string> {
    return write(this.#db, by, (w) => putServer(w, server, by));
  }

  /** Lets a server sign in with one more key. @returns whether it was new. @throws UserError `conflict` */
  async addKey(server: Server, key: PublicKey, by: Actor): Promise<boolean> {
    return write(this.#db, by, (w) => putServerKey(w, server, key));
  }

  /** @returns whether anything changed */
  async set(
    server: Server,
    next: {
      role?: PeerRole | undefined;
      url?: string | undefined;
      bandwidth?: number | null | undefined;
    },
    by: Actor,
  ): Promise<boolean> {
    const role = next.role ?? server.role;
    const url = next.url ?? server.url;
    const bandwidth =
      next.bandwidth === undefined ? server.bandwidth : (next.bandwidth ?? undefined);
    const same = role === server.role && url === server.url && bandwidth === server.bandwidth;
    if (same) return false;
    return write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('server')
        .set({ role, url: url ?? null, bandwidth: bandwidth ?? null })
        .where('id', '=', server.id)
        .execute();
      const detail = { server: server.name, role, url: url ?? null };
      await w.log({ type: 'server-set', subjectId: server.id, detail });
      return true;
    });
  }

  /** Pins a host key. @returns whether it was another one before */
  async pin(server: Server, hostKey: string, line: string | undefined, by: Actor) {
    const known = server.hostKey === hostKey && server.state !== 'untrusted';
    if (known && server.hostKeyLine === line) return false;
    return write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('server')
        .set({ host_key: hostKey, host_key_line: line ?? null, state: 'unknown', error: null })
        .where('id', '=', server.id)
        .execute();
      await w.trx.deleteFrom('server_host_key').where('server_id', '=', server.id).execute();
      const detail = { server: server.name, fingerprint: hostKey };
      await w.log({ type: 'server-trusted', subjectId: server.id, detail });
      return !known;
    });
  }

  /** Notes what a look at a server found; a change of its state is logged. */
  async note(server: Server, health: Health, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx
        .updateTable('server')
        .set({
          state: health.state,
          error: health.error ?? null,
          latency_ms: health.latencyMs ?? null,
          checked_at: w.now,
          house_id: health.houseId ?? server.houseId ?? null,
        })
        .where('id', '=', server.id)
        .execute();
      if (health.state === server.state) return;
      const detail = { server: server.name, state: health.state };
      await w.log({ type: 'server-state', subjectId: server.id, detail });
    });
  }

  /** Takes a server out, with its keys, links, grants and what was agreed with it. */
  async remove(server: Server, by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      await w.trx.deleteFrom('access_grant').where('who_id', '=', server.id).execute();
      await w.trx.deleteFrom('server').where('id', '=', server.id).execute();
      const detail = { server: server.name };
      await w.log({ type: 'server-removed', subjectId: server.id, detail });
    });
  }
}

/** @returns the new server's id. @throws UserError `conflict` when the name or the key is taken */
export async function putServer(w: Write, server: NewServer, by: Actor): Promise<string> {
  await refuseTakenName(w, server.name);
  const id = newId();
  await w.trx
    .insertInto('server')
    .values({
      id,
      name: server.name,
      role: server.role,
      url: server.url ?? null,
      host_key: server.hostKey ?? null,
      host_key_line: server.hostKeyLine ?? null,
      bandwidth: server.bandwidth ?? null,
      state: 'unknown',
      error: null,
      latency_ms: null,
      checked_at: null,
      house_id: server.houseId ?? null,
      added_at: w.now,
      added_by: by.principal,
    })
    .execute();
  const { name: server_name, role } = server;
  await w.log({ type: 'server-added', subjectId: id, detail: { server: server_name, role } });
  if (server.key !== undefined) await putServerKey(w, { id, name: server.name }, server.key);
  return id;
}

/** @throws UserError `conflict` */
export async function refuseTakenName({ trx }: Write, name: string): Promise<void> {
  const held = await trx
    .selectFrom('server')
    .select('id')
    .where('name', '=', name)
    .executeTakeFirst();
  if (held === undefined) return;
  throw new UserError('conflict', `${name}: this server is known already`, {
    hint: `see it with: servers show ${name}`,
  });
}

function toServer(row: ServerRow): Server {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    url: row.url ?? undefined,
    hostKey: row.host_key ?? undefined,
    hostKeyLine: row.host_key_line ?? undefined,
    bandwidth: row.bandwidth ?? undefined,
    state: row.state,
    error: row.error ?? undefined,
    latencyMs: row.latency_ms ?? undefined,
    checkedAt: row.checked_at ?? undefined,
    houseId: row.house_id ?? undefined,
  };
}

function toKey(row: Tables['server_key']): ServerKey {
  return {
    id: row.id,
    serverId: row.server_id,
    fingerprint: row.fingerprint,
    blob: row.blob,
    expiresAt: row.expires_at ?? undefined,
  };
}

/** Another key has taken its place, and the time in which both count is over. */
function hasEnded({ expires_at }: Pick<Tables['server_key'], 'expires_at'>): boolean {
  return expires_at !== null && expires_at <= new Date().toISOString();
}
