import { sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import { escapeControls } from '../model/repo.ts';
import type { PublicKey } from '../model/sshkey.ts';
import { type Actor, type Write, write } from './changes.ts';
import { insertKey } from './key-writes.ts';
import type { Database } from './sqlite.ts';
import { insertUser } from './users.ts';

/** A key of a user, from one file. */
export interface ImportedKey {
  readonly user: string;
  readonly file: string;
  readonly title: string;
  readonly key: PublicKey & { readonly comment: string };
}

/** What an import did. */
export interface Imported {
  readonly users: readonly string[];
  readonly keys: readonly ImportedKey[];
  readonly unchanged: number;
}

/** Users and keys that come together: all of them, or none. */
export class UserImport {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Adds the users and keys that are not there yet.
   *
   * @throws UserError `conflict` naming every file that can't be taken; then nothing was added
   */
  async run(wanted: readonly ImportedKey[], by: Actor): Promise<Imported> {
    return write(this.#db, by, async (w) => {
      const users = new Map<string, string>();
      const made: string[] = [];
      const keys: ImportedKey[] = [];
      const faults: string[] = [];
      for (const each of wanted) {
        try {
          const held = users.get(each.user) ?? (await userId(w, each.user));
          const id = held ?? (await insertUser(w, { name: each.user, admin: false }));
          if (held === undefined) made.push(each.user);
          users.set(each.user, id);
          const { key, title } = each;
          const added = await insertKey(w, by, { key, userId: id, verified: true, title });
          if (added.changed) keys.push(each);
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
          faults.push(`${escapeControls(each.file)}: ${error.message}`);
        }
      }
      if (faults.length === 0) return { users: made, keys, unchanged: wanted.length - keys.length };
      throw new UserError('conflict', `nothing was imported:\n${faults.join('\n')}`, {
        hint: 'take these files away, or set right what is here, and run it again',
      });
    });
  }
}

async function userId({ trx }: Write, name: string): Promise<string | undefined> {
  const row = await trx
    .selectFrom('user')
    .select('id')
    .where('name', '=', name)
    .where('state', '<>', sql.lit('deleted' as const))
    .executeTakeFirst();
  return row?.id;
}
