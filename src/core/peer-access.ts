import { UserError } from '../model/errors.ts';
import { asksAgain, untold } from '../model/lead.ts';
import {
  askerText,
  type Invitee,
  type Principal,
  type ServerPrincipal,
} from '../model/principal.ts';
import {
  type Decision,
  decide,
  type RepoStanding,
  reaches,
  type Standing,
} from '../model/right.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { Ask, Granted } from './ask.ts';

/**
 * Why a server has nothing any more; undefined when it is in good standing. It acts by a key that it signed in with;
 * where this server fetches from it, by none.
 */
export async function peerFault(store: Store, peer: ServerPrincipal): Promise<string | undefined> {
  const server = await store.servers.byId(peer.id);
  if (server === undefined) return `${peer.name} is no server known here any more`;
  if (server.state === 'untrusted') return `sync with ${server.name} stopped: ${server.error}`;
  if (peer.keyId === '') return undefined;
  const keys = await store.servers.keysOf(server.id);
  return keys.some(({ id }) => id === peer.keyId) ? undefined : 'this key is not known any more';
}

/** Why an invitation is none any more; undefined while it can be taken. */
export async function inviteeFault(store: Store, { id }: Invitee): Promise<string | undefined> {
  const open = await store.invitations.open(id);
  return open === undefined ? 'this invitation was used, or its hour is over' : undefined;
}

/** What other servers have to do with a repository, as far as it bears on the right of who asks. */
export async function peerStanding(
  store: Store,
  principal: Principal,
  repo: { readonly id: string; readonly namespaceId: string },
): Promise<Partial<RepoStanding>> {
  const main = await store.serverLinks.writerOf(repo.id);
  const mirrorOf = main === undefined ? {} : { mirrorOf: main.name };
  if (principal.kind !== 'server') return mirrorOf;
  const peer = await store.serverLinks.holdings(principal.id, repo);
  if (peer === undefined) return mirrorOf;
  const grants = peer.grants.map((right) => ({ right, via: `${right} by a grant` }));
  return { ...mirrorOf, peer, grants };
}

/** Whether a server was granted at least this much on a repository, whatever its role and links give it. */
export async function isGranted(
  store: Store,
  server: { readonly id: string },
  repo: { readonly id: string; readonly namespaceId: string },
  right: 'read' | 'write',
): Promise<boolean> {
  const { grants = [] } = (await store.serverLinks.holdings(server.id, repo)) ?? {};
  return grants.some((granted) => reaches(granted, right));
}

/** The refusal of a push to a mirror, with the main's address; undefined for any other repository. */
export async function mirrorRefusal(
  store: Store,
  { id, fullName, archived }: Repository,
  why: string,
): Promise<UserError | undefined> {
  const main = archived ? undefined : await store.serverLinks.writerOf(id);
  if (main === undefined) return undefined;
  const at = main.url === null ? main.name : `ssh://${main.url}/${fullName}`;
  const lead = await store.leads.fence();
  if (lead?.state === 'giving' && lead.serverId === main.id) {
    return new UserError('denied', `${fullName}: ${untold(main.name)}`, {
      hint: `a site admin here finds out with: ${asksAgain(main.name)}; if it leads, push to ${at}`,
      aboutId: id,
    });
  }
  return new UserError('denied', `${fullName}: ${why}, which alone writes to it`, {
    hint: `push to ${at}`,
    aboutId: id,
  });
}

/**
 * May a repository be carried to another server or from it? By one's own right, over an approved link (S9).
 *
 * @throws UserError `denied`; `not_found` where the asker may not even know of the repository
 */
export async function authorizeCarry(
  { store, access }: { store: Store; access: AccessForCarry },
  { principal, standing }: { principal: Principal; standing: Standing },
  { path, right, serverId }: Extract<Ask, { need: 'carry' }>,
): Promise<Granted> {
  const { repo } = await access.authorize(principal, { need: 'repo', path, right: 'read' });
  if (repo === undefined) throw new Error('a repository was decided on and is not there');
  const { right: held } = await access.rightOn(principal, standing, repo);
  const linked = (await store.serverLinks.of(serverId, repo.id)) !== undefined;
  const decision = decide(standing, { kind: 'carry', right, held, linked });
  if (decision.allowed) return { standing, decision, repo };
  const why = linked ? `you have ${held}, not ${right}` : 'it is not linked with that server';
  throw new UserError(
    'denied',
    `${repo.fullName}: you may not carry it there: ${why} (${askerText(principal)})`,
    { hint: `a site admin links it with: servers link NAME ${repo.fullName}`, aboutId: repo.id },
  );
}

/** What deciding about a carriage asks of access. */
interface AccessForCarry {
  authorize(principal: Principal, ask: Ask): Promise<Granted>;
  rightOn(principal: Principal, standing: Standing, repo: Repository): Promise<Decision>;
}
