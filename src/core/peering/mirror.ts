import { UserError } from '../../model/errors.ts';
import { checkNamespace, parseRepoPath } from '../../model/repo.ts';
import type { RefList } from '../../model/sync-refs.ts';
import type { Actor } from '../../store/changes.ts';
import type { Namespace } from '../../store/names.ts';
import type { Server } from '../../store/servers.ts';
import type { Store } from '../../store/store.ts';
import type { Core } from '../core.ts';
import type { RepoFacts } from './protocol.ts';

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

/** The refs that the other side knows, are here no more, and were deleted here: what is merely absent is not. */
export async function deletedSince(
  { syncs }: Pick<Store, 'syncs'>,
  repoId: string,
  { refs, known }: { refs: RefList; known: RefList },
): Promise<ReadonlySet<string>> {
  const absent = [...known.keys()].filter((ref) => !refs.has(ref));
  return new Set((await syncs.deletions(repoId, absent)).keys());
}
