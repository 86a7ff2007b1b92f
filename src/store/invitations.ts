import { UserError } from '../model/errors.ts';
import type { PeerRole } from '../model/peer.ts';
import { fingerprint } from '../model/sshkey.ts';
import { type Actor, newId, write } from './changes.ts';
import { type NewServer, putServer, refuseTakenName } from './servers.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** An open invitation of another server. */
export interface OpenInvitation {
  readonly id: string;
  /** What the server is to be called and to be here. */
  readonly name: string;
  readonly role: PeerRole;
  /** Of the key that its code stands for: `SHA256:…` */
  readonly fingerprint: string;
  /** ISO 8601. */
  readonly expiresAt: string;
  readonly invitedBy: string;
}

/** Invitations of other servers, known by the public half of the key that their code stands for. */
export class Invitations {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Invites a server, in place of an earlier invitation of that name.
   *
   * @returns its id
   * @throws UserError `conflict` when a server of that name is known
   */
  async invite(
    invited: { name: string; role: PeerRole; blob: Buffer; expiresAt: string },
    by: Actor,
  ): Promise<string> {
    const { name, role, blob, expiresAt } = invited;
    return write(this.#db, by, async (w) => {
      await refuseTakenName(w, name);
      await w.trx.deleteFrom('server_invitation').where('name', '=', name).execute();
      await w.trx.deleteFrom('server_invitation').where('expires_at', '<=', w.now).execute();
      const id = newId();
      const about = { id, name, role, fingerprint: fingerprint(blob), blob };
      const made = { expires_at: expiresAt, invited_at: w.now, invited_by: by.principal };
      await w.trx
        .insertInto('server_invitation')
        .values({ ...about, ...made })
        .execute();
      await w.log({ type: 'server-invited', subjectId: id, detail: { server: name, role } });
      return id;
    });
  }

  /** @returns undefined for one that was used, or whose time is over */
  async open(id: string): Promise<OpenInvitation | undefined> {
    return this.#one('id', id);
  }

  /** The invitation whose code stands for this key, while it can be taken. */
  async byKey(blob: Buffer): Promise<OpenInvitation | undefined> {
    return this.#one('fingerprint', fingerprint(blob));
  }

  async #one(column: 'id' | 'fingerprint', value: string): Promise<OpenInvitation | undefined> {
    const row = await this.#db
      .selectFrom('server_invitation')
      .selectAll()
      .where(column, '=', value)
      .executeTakeFirst();
    return row === undefined || row.expires_at <= new Date().toISOString()
      ? undefined
      : toOpen(row);
  }

  /**
   * Uses an invitation up and makes its server known, in one.
   *
   * @returns the server's id
   * @throws UserError `denied` when it was used meanwhile; `conflict` when the name or the key is taken
   */
  async take({ id }: OpenInvitation, server: NewServer, by: Actor): Promise<string> {
    return write(this.#db, by, async (w) => {
      const { numDeletedRows } = await w.trx
        .deleteFrom('server_invitation')
        .where('id', '=', id)
        .where('expires_at', '>', w.now)
        .executeTakeFirst();
      if (numDeletedRows === 0n) {
        throw new UserError('denied', 'this invitation was used, or its hour is over');
      }
      return putServer(w, server, by);
    });
  }
}

function toOpen(row: Tables['server_invitation']): OpenInvitation {
  const { id, name, role, fingerprint: print, expires_at: expiresAt, invited_by: invitedBy } = row;
  return { id, name, role, fingerprint: print, expiresAt, invitedBy };
}
