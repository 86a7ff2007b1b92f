import { parseRepoPath } from '../../model/repo.ts';
import { readRefsOf } from '../../programs/refs.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { namespaceForMirror } from './mirror.ts';
import type { RepoFacts } from './protocol.ts';
import { actorFor, mirroring } from './run.ts';

interface Told {
  readonly server: Server;
  readonly repo: Repository;
  /** What the other server says of it. */
  readonly facts: RepoFacts;
  readonly by: Actor;
}

/**
 * Follows what a main says of a repository beside its refs: its mirror takes over name, description, visibility and
 * default branch, before anything else of it comes.
 *
 * @returns the repository as it is then
 * @throws UserError `unavailable` while somebody uses it, `conflict` where the new name is another's here
 */
export async function followFacts(core: Core, told: Told): Promise<Repository> {
  const { server, repo, by } = told;
  const link = await core.store.serverLinks.of(server.id, repo.id);
  const isMirror = server.role === 'main' && link?.bornThere === true;
  if (!isMirror || by.dryRun) return repo;
  await mirror(core, told);
  return (await core.store.repositories.byId(repo.id)) ?? repo;
}

async function mirror(core: Core, { server, repo, facts, by }: Told): Promise<void> {
  const author = mirroring(server, actorFor(server, by, by.request));
  if (facts.name !== repo.fullName) {
    const namespace = await namespaceForMirror(core, server, { offered: facts, by: author });
    const { name } = parseRepoPath(facts.name);
    const path = { namespaceId: namespace.ownerId, name, text: facts.name };
    const leads = await core.store.paths.at(path);
    // Its main alone names what is in this namespace: whatever else was called so gives way.
    const retakes = leads.map((each) => each.repo.id);
    await core.renames.repository(repo, { namespace, name, retakes }, author);
  }
  const now = (await core.store.repositories.byId(repo.id)) ?? repo;
  const { description, visibility, defaultBranch } = facts;
  const settings = {
    ...(description !== now.description && { description }),
    ...(visibility !== now.visibility && { visibility }),
    ...(defaultBranch !== now.defaultBranch && { defaultBranch }),
  };
  if (Object.keys(settings).length > 0) await core.repos.set(now, settings, author);
}

/**
 * Between equals the default branch goes by the three-way rule, once its branch is there. One that moved here and there
 * stays as it is on both sides.
 *
 * @param before - what was agreed when the other server told of its own: when another run has agreed on something since,
 *   this may be older than that, and changes nothing
 */
export async function agreeOnHead(
  core: Core,
  { server, repo, facts, by, before }: Told & { readonly before: string | undefined },
): Promise<void> {
  const { syncPeers, serverLinks, repositories } = core.store;
  const link = await serverLinks.of(server.id, repo.id);
  if (by.dryRun || link === undefined || link.bornThere || server.role === 'backup') return;
  const pair = { serverId: server.id, repoId: repo.id };
  const now = (await repositories.byId(repo.id)) ?? repo;
  const [mine, theirs] = [now.defaultBranch, facts.defaultBranch];
  const base = await syncPeers.head(pair);
  if (base !== before) return;
  if (mine === theirs || base === undefined) {
    if (base !== theirs) await syncPeers.agreeHead(pair, theirs);
    return;
  }
  if (theirs === base || mine !== base) return;
  const ref = `refs/heads/${theirs}`;
  const there = (await readRefsOf(core.repos.directory(repo), [ref])).get(ref);
  if (there?.oid === undefined) return;
  await core.repos.set(now, { defaultBranch: theirs }, actorFor(server, by, by.request));
  await syncPeers.agreeHead(pair, theirs);
}
