import { UserError } from '../model/errors.ts';
import { fingerprint, type PublicKey } from '../model/sshkey.ts';
import { newId, type Write } from './changes.ts';

/** Lets a server sign in with a key. @returns whether it was new. @throws UserError `conflict` when it is another's */
export async function putServerKey(
  { trx, now, log }: Write,
  server: { id: string; name: string },
  key: PublicKey,
): Promise<boolean> {
  const print = fingerprint(key.blob);
  const held = await trx
    .selectFrom('server_key')
    .select('server_id')
    .where('fingerprint', '=', print)
    .executeTakeFirst();
  if (held?.server_id === server.id) return false;
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
