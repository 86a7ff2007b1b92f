import { randomUUID } from 'node:crypto';
import { UserError } from '../../model/errors.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { movesDone } from '../ref-moves.ts';

/** Says to a server that another leads in its place. */
export interface Claim {
  /** The id of the data directory that led before. */
  readonly origin: string;
  readonly term: number;
}

/** What a server is to be told at any contact: that this one leads in its place, or follows the one that does. */
export async function claimFor(
  { store }: Pick<Core, 'store'>,
  id: string,
): Promise<Claim | undefined> {
  const { houseId } = (await store.servers.byId(id)) ?? {};
  const own = await store.leads.of(id);
  const found =
    own?.state === 'taken'
      ? own
      : houseId === undefined
        ? undefined
        : await store.leads.over(houseId);
  return found && { origin: found.origin, term: found.term };
}

/**
 * Hears from a backup that another leads by a higher term: nobody writes here from then on, and what was decided before
 * has come to its end (S22). Whom to follow is for a person here to say.
 *
 * @param said - what the other side says, which may be anything
 */
export async function heed(
  { store, locks, log }: Pick<Core, 'store' | 'locks' | 'log'>,
  serverId: string,
  said: unknown,
): Promise<void> {
  const { origin, term } = (said ?? {}) as Partial<Claim>;
  if (origin !== store.houseId || !Number.isSafeInteger(term)) return;
  const now = await store.servers.byId(serverId);
  if (now?.role !== 'backup' || now.state === 'untrusted' || term === undefined) return;
  const by: Actor = {
    principal: `server:${now.name}`,
    keyId: undefined,
    request: randomUUID(),
    dryRun: false,
  };
  if (!(await store.leads.lose(now, { origin, term }, by))) return;
  log.warn({ server: now.name, term }, 'another server leads: no more pushes are taken here');
  await movesDone({ locks });
}

/** A server that leads in this one's place is followed by nobody's word but that of a person here (S22). @throws UserError `denied` */
export async function refuseUnconfirmed(
  { store }: Pick<Core, 'store'>,
  { id, role }: Pick<Server, 'id' | 'role'>,
): Promise<void> {
  if (role === 'main' || (await store.leads.of(id))?.state !== 'lost') return;
  throw new UserError('denied', 'this server takes no more pushes, and does not follow you yet', {
    hint: 'a site admin of this side confirms it: servers follow NAME --identities',
  });
}
