import { UserError } from '../../model/errors.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import type { FollowOptions } from './follow.ts';
import type { Answers } from './protocol.ts';
import { Remote } from './remote.ts';

/** As long as a new leader takes to fetch what this server has alone, if it does so by itself. */
const tries = 10;
const pauseMs = 500;

/**
 * Finds out whether a server leads in the place of this one, or of the main that is followed here, and if so follows it
 * from now on: what comes before is a person's word, given here (S22).
 *
 * @returns whether it does
 * @throws UserError `denied` for a lead that is older than one known here; `unavailable` while it has not fetched what
 *   this server has alone
 */
export async function confirmLead(
  core: Core,
  server: Server,
  options: FollowOptions,
): Promise<boolean> {
  const { store } = core;
  const followed = await store.following.list();
  const own = server.role === 'backup' ? [store.houseId] : [];
  const origins = [...own, ...followed.map(({ origin }) => origin)];
  const found = origins.length === 0 ? null : await askLead(core, server, { ...options, origins });
  if (found === null) return false;
  const { origin, term, signKey, head: position, heritage } = found;
  const known = await store.leads.term();
  if (term <= known) {
    throw new UserError('denied', `${server.name}: it led by term ${term}, and ${known} is known`, {
      hint: 'another server leads by now: see servers list there',
    });
  }
  const main = followed.find((each) => each.origin === origin);
  const before = main && (await store.servers.byId(main.serverId));
  const identities = options.identities || main?.identities === true;
  const breakGlass = (await store.users.firstAdmin())?.id;
  const start = { identities, signKey, position, breakGlass, term, origin };
  await store.leadSwitch.follow(server, { before, heritage, start }, options.by);
  core.couriers.expect(server.id);
  return true;
}

/** What the server leads in the place of; null where it leads for none of those, or we are no backup of it. */
async function askLead(
  core: Core,
  server: Server,
  { origins, ...caller }: FollowOptions & { readonly origins: readonly string[] },
): Promise<Answers['heritage']> {
  const remote = await Remote.open(core, server, caller);
  try {
    for (let nth = 1; ; nth += 1) {
      const found = await remote.ask('heritage', { origins });
      if (found === null || found.recalled || found.origin !== core.store.houseId) return found;
      if (nth === tries) {
        throw new UserError(
          'unavailable',
          `${server.name} has not fetched yet what this server has alone`,
          { hint: 'have it do so, with the name that this server has there: servers sync NAME' },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
      caller.signal.throwIfAborted();
    }
  } catch (error) {
    if (error instanceof UserError && error.code === 'denied') return null;
    throw error;
  } finally {
    await remote.close();
  }
}
