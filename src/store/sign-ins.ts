import { Invitations } from './invitations.ts';
import { Keys } from './keys.ts';
import { Restored } from './restored.ts';
import { Servers } from './servers.ts';
import { openReadOnly } from './sqlite.ts';
import { Users } from './users.ts';

/** What a sign-in looks at, for a process that changes nothing. */
export interface SignInTables {
  readonly keys: Keys;
  readonly users: Users;
  readonly servers: Servers;
  readonly invitations: Invitations;
  readonly restored: Restored;
  close(): Promise<void>;
}

/**
 * @param path - of the database, absolute; it may be in use by a server
 * @throws Error when it is not there
 */
export function openSignIns(path: string): SignInTables {
  const { db, close } = openReadOnly(path);
  return {
    keys: new Keys(db),
    users: new Users(db),
    servers: new Servers(db),
    invitations: new Invitations(db),
    restored: new Restored(db),
    close,
  };
}
