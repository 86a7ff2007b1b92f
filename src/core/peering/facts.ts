import { UserError } from '../../model/errors.ts';
import { parseRepoPath } from '../../model/repo.ts';
import { readRefsOf } from '../../programs/refs.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { namespaceForMirror } from './mirror.ts';
import type { RepoFacts } from './protocol.ts';
import { actorFor } from './run.ts';

interface Told {
  readonly server: Server;
  readonly repo: Repository;
  /** What the other server says of it. */
  readonly facts: RepoFacts;
  readonly by: Actor;
}

/**
 * Follows what another server says of a repository beside its refs. A mirror takes over name, description, visibility
 * and default branch; between equals the default branch alone goes by the three-way rule.
 *
 * @returns the repository as it is then. What could not be done now, as while somebody clones, is left for the next run
 */
export async function followFacts(core: Core, told: Told): Promise<Repository> {
  const { server, repo, by } = told;
  if (by.dryRun) return repo;
  const link = await core.store.serverLinks.of(server.id, repo.id);
  const isMirror = server.role === 'main' && link?.bornThere === true;
  try {
    if (isMirror) await mirror(core, told);
    else await agreeOnHead(core, told);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    core.log.warn({ err: error, repo: repo.fullName, server: server.name }, 'not followed yet');
  }
  return (await core.store.repositories.byId(repo.id)) ?? repo;
}

async function mirror(core: Core, { server, repo, facts, by }: Told): Promise<void> {
  const author = actorFor(server, by, by.request);
  if (facts.name !== repo.fullName) {
    const namespace = await namespaceForMirror(core, server, { offered: facts, by: author });
    const { name } = parseRepoPath(facts.name);
    await core.renames.repository(repo, { namespace, name }, author);
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

/** A default branch that moved here and there stays as it is on both sides, and is told of. */
async function agreeOnHead(core: Core, { server, repo, facts, by }: Told): Promise<void> {
  const { syncPeers } = core.store;
  const pair = { serverId: server.id, repoId: repo.id };
  const [mine, theirs] = [repo.defaultBranch, facts.defaultBranch];
  const base = await syncPeers.head(pair);
  if (mine === theirs || base === undefined) {
    if (base !== theirs) await syncPeers.agreeHead(pair, theirs);
    return;
  }
  if (theirs === base || mine !== base) return;
  const ref = `refs/heads/${theirs}`;
  const there = (await readRefsOf(core.repos.directory(repo), [ref])).get(ref);
  // It comes with the refs of this run; the next one finds it.
  if (there?.oid === undefined) return;
  await core.repos.set(repo, { defaultBranch: theirs }, actorFor(server, by, by.request));
  await syncPeers.agreeHead(pair, theirs);
}
