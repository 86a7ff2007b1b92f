import { UserError } from '../../model/errors.ts';
import { nullOid, refFault } from '../../model/ref.ts';
import { checkNamespace, parseRepoName, parseRepoPath, visibilities } from '../../model/repo.ts';
import type { RefList, RefsFile } from '../../model/sync-refs.ts';
import { type Actor, newId } from '../../store/changes.ts';
import type { Namespace } from '../../store/names.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Store } from '../../store/store.ts';
import type { ToldAt } from '../../store/syncs.ts';
import type { Core } from '../core.ts';
import { isGranted } from '../peer-access.ts';
import type { Newcomer } from './admit-new.ts';
import type { RepoFacts } from './protocol.ts';
import { mirroring } from './run.ts';

/**
 * The namespace that a main's repository goes to: one that was made for its mirrors, now if it is missing.
 *
 * @throws UserError `conflict` where the name is somebody else's here
 */
export async function namespaceForMirror(
  { store }: Pick<Core, 'store'>,
  server: Server,
  { offered, by }: { offered: Pick<RepoFacts, 'name'>; by: Actor },
): Promise<Namespace> {
  const { namespace: name = '' } = parseRepoPath(offered.name);
  const held = await store.names.find(name);
  if (held === undefined) {
    checkNamespace(name, 'organization');
    const description = `mirrors of ${server.name}`;
    const id = await store.orgs.add({ name, description, ownerId: undefined }, by);
    await store.serverLinks.noteNamespace(id, server, by);
    const made = await store.names.find(name);
    if (made === undefined) throw new Error('a namespace was made and is not there');
    return made;
  }
  if (await store.serverLinks.isMirrorNamespace(held.ownerId, server.id)) return held;
  throw new UserError('conflict', `${name}: this namespace is not ${server.name}'s here`, {
    hint: `the operator of this side takes it in by: cpm pull ${offered.name} --from ${server.name}`,
  });
}

const idShape = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const longestDescription = 1000;

/** What another server says of a repository, which may be anything. @throws UserError `usage` unless it could be true */
export function checkFacts({ id, name, description, visibility, defaultBranch }: RepoFacts) {
  const sound =
    idShape.test(id) &&
    typeof description === 'string' &&
    description.length <= longestDescription &&
    visibilities.includes(visibility) &&
    refFault(`refs/heads/${defaultBranch}`) === undefined;
  if (!sound) throw new UserError('usage', 'a repository is not told of like that');
  parseRepoName(name);
  return { id, name, description, visibility, defaultBranch };
}

/** What is to be made of a repository that was not here before, under the id that it has there unless that is taken. */
export async function newcomerFor(
  core: Pick<Core, 'store'>,
  server: Server,
  { offered, by }: { offered: RepoFacts; by: Actor },
): Promise<Newcomer> {
  const namespace = await namespaceForMirror(core, server, { offered, by });
  return newcomerIn(core, namespace, offered);
}

export async function newcomerIn(
  { store }: Pick<Core, 'store'>,
  namespace: Namespace,
  facts: RepoFacts,
): Promise<Newcomer> {
  const taken = (await store.repositories.byId(facts.id)) ?? (await store.trash.byId(facts.id));
  const { name } = parseRepoPath(facts.name);
  return { id: taken === undefined ? facts.id : newId(), facts, name, namespace };
}

/** Makes the repository of another server that has nothing in it yet. */
export async function createEmpty(
  { store, repos }: Pick<Core, 'store' | 'repos'>,
  server: Server,
  { newcomer, by }: { newcomer: Newcomer; by: Actor },
): Promise<void> {
  const { id, facts, name, namespace } = newcomer;
  const { description, visibility, defaultBranch } = facts;
  const wanted = { id, namespace, name, description, visibility, defaultBranch };
  await repos.create(wanted, mirroring(server, by));
  const bornThere = server.role === 'main';
  const about = { id, fullName: facts.name };
  await store.serverLinks.link(server, about, { remoteId: facts.id, bornThere }, by);
}

/** The repository here that an offered one goes to: by its link, else where both admins linked the same name. */
export async function receiverFor(
  { store }: Pick<Core, 'store'>,
  server: Server,
  { offered, by }: { offered: RepoFacts; by: Actor },
): Promise<Repository | undefined> {
  const linked = await store.serverLinks.byRemote(server.id, offered.id);
  if (linked !== undefined) return store.repositories.byId(linked.repoId);
  const path = parseRepoPath(offered.name);
  const owner = await store.names.find(path.namespace ?? '');
  const named = owner && (await store.repositories.byName(owner.ownerId, path.name));
  const link = named && (await store.serverLinks.of(server.id, named.id));
  if (named === undefined || link?.remoteId !== undefined) return undefined;
  // A crash may have come between the making of a mirror and its link.
  const bornThere =
    link === undefined &&
    server.role === 'main' &&
    named.id === offered.id &&
    (await store.serverLinks.isMirrorNamespace(named.namespaceId, server.id));
  if (link === undefined && !bornThere) {
    if (await isGranted(store, server, named, 'read')) return named;
    throw notLinked(server, offered.name);
  }
  const about = { remoteId: offered.id, ...(bornThere && { bornThere }) };
  await store.serverLinks.link(server, named, about, { ...by, dryRun: false });
  return named;
}

/** The refusal of what no site admin of this side linked. */
export function notLinked({ name }: Server, repo: string): UserError {
  return new UserError('denied', `${repo}: it is not linked with ${name} here`, {
    hint: `a site admin of this side links it: servers link ${name} ${repo}`,
  });
}

/** What is told of refs that one side alone has, and where the log ends by then. */
export type RefNews = Pick<RefsFile, 'births' | 'deleted'> & { readonly toldAt: ToldAt };

/**
 * What a sender says beside its list: of refs that the other side lacks, what their creations are called, which says
 * nothing to a backup; and of those that it knows and that are here no more, which were deleted here: what is merely
 * absent is not. Those that it had alone when this server took over from it are none of a mirror's; they are kept here
 * as conflicts.
 */
export async function newsFor(
  { births, conflicts, digests }: Pick<Store, 'births' | 'conflicts' | 'digests'>,
  repoId: string,
  { refs, known, to }: { refs: RefList; known: RefList; to: Pick<Server, 'role'> },
): Promise<RefNews> {
  const absent = [...known.keys()].filter((ref) => !refs.has(ref));
  const recalled = absent.length === 0 ? new Map() : await conflicts.recalled(repoId);
  const held = absent.filter((ref) => recalled.get(ref) === known.get(ref));
  const deleted = new Map(await births.deletions(repoId, absent));
  for (const ref of held) {
    if (!deleted.has(ref)) deleted.set(ref, { oid: known.get(ref) ?? nullOid, birth: undefined });
  }
  const made = to.role === 'backup' ? [] : [...refs.keys()].filter((ref) => !known.has(ref));
  const { epoch, seq } = await digests.place();
  return { births: await births.of(repoId, made), deleted, toldAt: { epoch, seq } };
}

/** Whether the other side has what was deleted here before it came there on another way. */
export function isOwed({ deleted }: RefNews, known: RefList): boolean {
  return [...deleted].some(
    ([ref, { oid, birth }]) => birth !== undefined && known.get(ref) === oid,
  );
}
