import { asUser, standingOf } from '../core/access.ts';
import { asPeer } from '../core/peering/run.ts';
import { decide, reaches } from '../model/right.ts';
import type { Repository } from '../store/repositories.ts';
import type { User } from '../store/users.ts';
import { paged } from './answers.ts';
import type { Context } from './command.ts';

const pageRows = 500;

/** Somebody who has a right to a repository now, and what gives it. */
export interface Effective {
  readonly who: string;
  readonly right: string;
  readonly via: string;
}

/** Everybody who may do something with a repository at this moment: users one by one, servers, then deploy keys. */
export async function* effectiveRows(
  core: Context['core'],
  repo: Repository,
): AsyncGenerator<Effective> {
  const users = paged<User>((after) => core.store.users.page(after?.name ?? '', pageRows));
  for await (const user of users) {
    if (user.state !== 'active') continue;
    const { right, why } = await core.access.rightOn(asUser(user), standingOf(user), repo);
    if (reaches(right, 'read')) yield { who: user.name, right, via: why };
  }
  if (repo.visibility === 'public') {
    yield { who: 'anonymous', right: 'read', via: 'public, through git:// alone' };
  }
  for (const server of await core.store.servers.list()) {
    const peer = asPeer(server);
    const standing = await core.access.standing(peer);
    const { right, why } = await core.access.rightOn(peer, standing, repo);
    if (reaches(right, 'read')) yield { who: `server:${server.name}`, right, via: why };
  }
  const seen = new Set<string>();
  for (const { key } of await core.store.deployKeys.within({ repo })) {
    if (key.state !== 'active' || seen.has(key.id)) continue;
    seen.add(key.id);
    yield* await keyRow(core, repo, key);
  }
}

async function keyRow(
  core: Context['core'],
  repo: Repository,
  { id, fingerprint }: { id: string; fingerprint: string },
): Promise<readonly Effective[]> {
  const grants = await core.store.deployKeys.grantsOn(id, repo);
  const standing = { kind: 'deploy-key', ended: undefined, siteAdmin: false } as const;
  const { visibility, archived } = repo;
  const nothing = { orgRole: undefined, orgName: undefined, memberRight: 'none' } as const;
  const on = { visibility, archived, ownNamespace: false, ...nothing, grants };
  const { right, why } = decide(standing, { kind: 'repo', right: 'read', on });
  return reaches(right, 'read') ? [{ who: `key:${fingerprint}`, right, via: why }] : [];
}
