import { UserError } from '../../model/errors.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import type { Asked } from './asked.ts';
import type { RepoFacts } from './protocol.ts';
import { actorFor, mirroring } from './run.ts';

interface Ending {
  readonly server: Server;
  /** Its id over there. */
  readonly remoteId: string;
  readonly by: Actor;
  readonly allowShrink: boolean;
}

/**
 * A main deleted a repository: its mirror goes into the trash here, for as long as trash is kept here. Only a deletion
 * that is told does that, never an absence; many at once wait until a person allows it.
 *
 * @returns whether there was something to do
 * @throws UserError `conflict` when it is held
 */
export async function endMirror(
  core: Core,
  { server, remoteId, by, allowShrink }: Ending,
): Promise<boolean> {
  const { serverLinks, repositories } = core.store;
  const link = await serverLinks.byRemote(server.id, remoteId);
  if (server.role !== 'main' || link?.bornThere !== true) return false;
  const repo = await repositories.byId(link.repoId);
  if (repo === undefined) return false;
  const total = (await serverLinks.listOf(server.id)).length;
  if (core.couriers.brakes(server.id, repo.id, total) && !allowShrink) {
    throw new UserError('conflict', `held: ${server.name} deletes many repositories at once`, {
      hint: `if that is meant: servers sync ${server.name} --allow-shrink`,
    });
  }
  await core.trash.delete(repo, mirroring(server, actorFor(server, by, by.request)));
  return true;
}

/** Answers a main that tells of a deletion. */
export async function answerEnd(
  { core, server, by }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<{ done: boolean }> {
  const remoteId = String(question['id']);
  return { done: await endMirror(core, { server, remoteId, by, allowShrink: false }) };
}

/** A main has a repository again whose mirror went into the trash with it: it comes back as it was. */
export async function reviveMirror(
  core: Core,
  { server, offered, by }: { server: Server; offered: RepoFacts; by: Actor },
): Promise<void> {
  const link = await core.store.serverLinks.byRemote(server.id, String(offered.id));
  if (server.role !== 'main' || link?.bornThere !== true) return;
  const trashed = await core.store.trash.byId(link.repoId);
  if (trashed === undefined) return;
  const author = mirroring(server, actorFor(server, by, by.request));
  if (trashed.deletedBy === author.principal) return core.trash.restore(trashed, author);
  throw new UserError('conflict', `${trashed.fullName}: its mirror was deleted there`, {
    hint: 'the operator of that side restores it, or ends the link',
  });
}
