import type { ChangeEntry } from '../model/change-entry.ts';
import type { Write } from './changes.ts';
import type { Followed } from './following.ts';
import { takeKey, takeMembers, takeOrg, takeUser } from './log-import-people.ts';
import {
  takeAudit,
  takeGrants,
  takeHistory,
  takePurge,
  takeRepo,
  takeRules,
} from './log-import-repos.ts';
import type { Server } from './servers.ts';

/** A batch of entries on its way into the database. */
export interface Import {
  readonly w: Write;
  readonly server: Server;
  readonly identities: Followed['identities'];
  readonly epoch: number;
  /** The id of the site admin whom no log changes. */
  readonly breakGlass: string | undefined;
  /** Who loses what is open here. */
  readonly ended: {
    readonly keys: string[];
    readonly users: string[];
    readonly ending: { readonly keyId: string; readonly at: string }[];
  };
}

/** Takes one entry in. One whose place was taken by a later one says nothing any more. */
export async function takeEntry(into: Import, { subject, body: text }: ChangeEntry): Promise<void> {
  if (text === undefined) return;
  const [kind = '', id = '', oid = ''] = subject.split(':');
  const body = JSON.parse(text) ?? undefined;
  switch (kind) {
    case 'repo':
      return takeRepo(into, id, { body, text });
    case 'history':
      return takeHistory(into, id, body);
    case 'purge':
      return takePurge(into, { repoId: id, oid }, text);
    case 'audit':
      return takeAudit(into, body);
    default:
      return into.identities ? takeIdentity(into, { kind, id }, text) : undefined;
  }
}

async function takeIdentity(
  into: Import,
  { kind, id }: { readonly kind: string; readonly id: string },
  text: string,
): Promise<void> {
  const body = JSON.parse(text) ?? undefined;
  switch (kind) {
    case 'user':
      return takeUser(into, id, { body, text });
    case 'key':
      return takeKey(into, id, body);
    case 'org':
      return takeOrg(into, id, { body, text });
    case 'members':
      return takeMembers(into, id, body);
    case 'grants':
      return takeGrants(into, id, body ?? []);
    case 'rules':
      return takeRules(into, id, body);
    default:
      // A later version tells of more than this one knows.
      return undefined;
  }
}
