import { UserError } from '../model/errors.ts';
import { fingerprint, type PublicKey } from '../model/sshkey.ts';
import { type Actor, newId, type Write, write } from './changes.ts';
import type { Server } from './servers.ts';
import type { Database } from './sqlite.ts';

/** Lets a server sign in with a key. @returns whether it was new. @throws UserError `conflict` when it is another's */
export async function putServerKey(
  { trx, now, log }: Write,
  server: { id: string; name: string },
  key: PublicKey,
): Promise<boolean> {
  const print = fingerprint(key.blob);
  const held = await trx
    .selectFrom('server_key')
    .select(['server_id', 'expires_at'])
    .where('fingerprint', '=', print)
    .executeTakeFirst();
  if (held?.server_id === server.id) {
    if (held.expires_at === null) return false;
    // It was on its way out, and is wanted after all.
    await trx
      .updateTable('server_key')
      .set({ expires_at: null })
      .where('fingerprint', '=', print)
      .execute();
    return true;
  }
  const users = await trx
    .selectFrom('ssh_key')
    .select('id')
    .where('fingerprint', '=', print)
    .executeTakeFirst();
  if (held !== undefined || users !== undefined) {
    throw new UserError('conflict', `key ${print} is in use already`, {
      hint: 'a key belongs to one user or one server, or is one deploy key',
    });
  }
  const id = newId();
  const row = { id, server_id: server.id, fingerprint: print, type: key.type, blob: key.blob };
  await trx
    .insertInto('server_key')
    .values({ ...row, added_at: now, expires_at: null })
    .execute();
  const detail = { server: server.name, fingerprint: print };
  await log({ type: 'server-key-added', subjectId: id, detail });
  return true;
}

/** A key is a person's or a server's, never both. @throws UserError `conflict` for a server's */
export async function refuseServerKey({ trx }: Write, print: string): Promise<undefined> {
  const held = await trx
    .selectFrom('server_key')
    .select('id')
    .where('fingerprint', '=', print)
    .executeTakeFirst();
  if (held !== undefined) throw new UserError('conflict', `key ${print} is a server's`);
}

/** A host key of another server, besides the pinned one. */
export interface AnnouncedHostKey {
  readonly fingerprint: string;
  /** `TYPE BASE64` */
  readonly line: string;
}

/** The keys of other servers while they change. */
export class ServerKeys {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Host keys that a server announced, each by one that was pinned. */
  async announced(serverId: string): Promise<readonly AnnouncedHostKey[]> {
    return this.#db
      .selectFrom('server_host_key')
      .select(['fingerprint', 'line'])
      .where('server_id', '=', serverId)
      .execute();
  }

  /** Takes one more host key of a server. @returns whether it was new */
  async announce(server: Server, { fingerprint: print, line }: AnnouncedHostKey, by: Actor) {
    return write(this.#db, by, async (w) => {
      const { numInsertedOrUpdatedRows } = await w.trx
        .insertInto('server_host_key')
        .values({ server_id: server.id, fingerprint: print, line, announced_at: w.now })
        .onConflict((on) => on.columns(['server_id', 'fingerprint']).doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows === 0n) return false;
      const detail = { server: server.name, fingerprint: print };
      await w.log({ type: 'server-host-key-announced', subjectId: server.id, detail });
      return true;
    });
  }

  /** The announcement is over: what a server shows now is pinned, if it was announced, and nothing else is taken. */
  async settle(server: Server, shown: readonly string[], by: Actor): Promise<void> {
    await write(this.#db, by, async (w) => {
      const announced = await w.trx
        .selectFrom('server_host_key')
        .select(['fingerprint', 'line'])
        .where('server_id', '=', server.id)
        .execute();
      const next = announced.find(({ fingerprint: print }) => shown.includes(print));
      await w.trx.deleteFrom('server_host_key').where('server_id', '=', server.id).execute();
      if (next === undefined) return;
      await w.trx
        .updateTable('server')
        .set({ host_key: next.fingerprint, host_key_line: next.line })
        .where('id', '=', server.id)
        .execute();
      const detail = { server: server.name, fingerprint: next.fingerprint };
      await w.log({ type: 'server-trusted', subjectId: server.id, detail });
    });
  }

  /**
   * Lets a server sign in with a new key, in the place of others.
   *
   * @param old - fingerprints of the others
   * @param until - ISO 8601; none of them counts any longer
   * @returns the ids of those that end, and when each does
   * @throws UserError `conflict` when the key is another's
   */
  async succeed(
    server: Server,
    { key, old, until }: { key: PublicKey; old: readonly string[]; until: string },
    by: Actor,
  ): Promise<readonly { keyId: string; at: string }[]> {
    return write(this.#db, by, async (w) => {
      await putServerKey(w, server, key);
      const others = await w.trx
        .selectFrom('server_key')
        .select(['id', 'fingerprint', 'expires_at'])
        .where('server_id', '=', server.id)
        .execute();
      const ending = others.filter(
        (each) =>
          old.includes(each.fingerprint) &&
          each.fingerprint !== fingerprint(key.blob) &&
          (each.expires_at === null || each.expires_at > until),
      );
      for (const { id } of ending) {
        await w.trx
          .updateTable('server_key')
          .set({ expires_at: until })
          .where('id', '=', id)
          .execute();
      }
      return ending.map(({ id }) => ({ keyId: id, at: until }));
    });
  }
}
