import { sql, type Transaction } from 'kysely';
import { UserError } from '../model/errors.ts';
import { asksAgain, untold } from '../model/lead.ts';
import type { Change } from './changes.ts';
import type { Tables } from './tables.ts';

/** Changes of what users and organizations are and may do. */
const ofIdentities = new Set([
  'access-granted',
  'access-revoked',
  'admin-given',
  'admin-taken',
  'key-added',
  'member-changed',
  'org-deleted',
  'org-renamed',
  'org-set',
  'rule-added',
  'rule-removed',
  'team-changed',
  'user-deleted',
  'user-disabled',
  'user-enabled',
  'user-renamed',
]);

/** Changes of what a repository is. */
const ofRepositories = new Set([
  'alias-added',
  'alias-removed',
  'repo-added',
  'repo-deleted',
  'repo-renamed',
  'repo-restored',
  'repo-set',
]);

/**
 * Keeps what is followed as its main has it: a change here would be undone by the next entry of that log, unseen. A key
 * may be revoked all the same: that is final on every server.
 *
 * @throws UserError `denied`, with the address of the main
 */
export async function refuseFollowed(
  trx: Transaction<Tables>,
  changes: readonly Change[],
): Promise<void> {
  for (const change of changes) {
    const identities = ofIdentities.has(change.type);
    if (!identities && !ofRepositories.has(change.type)) continue;
    const main = await mainOf(trx, change, identities);
    if (main === undefined) continue;
    if (main.state === 'giving') {
      throw new UserError('denied', untold(main.name), {
        hint: `a site admin here finds out with: ${asksAgain(main.name)}`,
      });
    }
    const where = main.url === null ? `on ${main.name}` : `with: ssh ${sshWords(main.url)} …`;
    throw new UserError('denied', `this is kept as ${main.name} has it: change it there`, {
      hint: `change it ${where}`,
    });
  }
}

/** `-p PORT cpm@HOST`. */
function sshWords(url: string): string {
  const [, place = url, port] = /^(.*):(\d+)$/.exec(url) ?? [];
  return port === undefined || port === '22' ? place : `-p ${port} ${place}`;
}

interface Main {
  readonly name: string;
  readonly url: string | null;
  /** Where it leads in the place of this server, or may. */
  readonly state?: Tables['lead']['state'];
}

async function mainOf(
  trx: Transaction<Tables>,
  { type, repoId, subjectId, detail }: Change,
  identities: boolean,
): Promise<Main | undefined> {
  const leader = await trx
    .selectFrom('lead')
    .innerJoin('server', 'server.id', 'lead.server_id')
    .select(['server.name', 'server.url', 'lead.state'])
    .where('lead.state', 'in', ['draining', 'giving', 'lost'])
    .executeTakeFirst();
  if (leader !== undefined) return leader;
  const user = type === 'key-added' ? detail?.['user'] : subjectId;
  if (typeof user === 'string') return ownerOf(trx, user);
  if (repoId === undefined) return undefined;
  if (type === 'repo-added') return namespaceOf(trx, repoId);
  return trx
    .selectFrom('server_link')
    .innerJoin('server', 'server.id', 'server_link.server_id')
    .innerJoin('following', 'following.server_id', 'server.id')
    .select(['server.name', 'server.url'])
    .where('server_link.repo_id', '=', repoId)
    .where('server_link.born_there', '=', sql.lit(1))
    .where('following.identities', '>=', Number(identities))
    .executeTakeFirst();
}

/** The main that a user or org here is followed from. */
async function ownerOf(trx: Transaction<Tables>, id: string): Promise<Main | undefined> {
  return trx
    .selectFrom('followed')
    .innerJoin('following', 'following.server_id', 'followed.server_id')
    .innerJoin('server', 'server.id', 'followed.server_id')
    .select(['server.name', 'server.url'])
    .where('followed.local_id', '=', id)
    .where('followed.ours', '=', sql.lit(1))
    .executeTakeFirst();
}

async function namespaceOf(trx: Transaction<Tables>, repoId: string): Promise<Main | undefined> {
  const repo = await trx
    .selectFrom('repository')
    .select('namespace_id')
    .where('id', '=', repoId)
    .executeTakeFirst();
  return repo && ownerOf(trx, repo.namespace_id);
}
