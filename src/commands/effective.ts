import type { Principal } from '../model/principal.ts';
import { type Right, reaches } from '../model/right.ts';
import type { Repository } from '../store/repositories.ts';
import type { User } from '../store/users.ts';
import { paged } from './answers.ts';
import type { Context } from './command.ts';

const pageRows = 500;

/** One who reaches a repository. */
export interface Reaching {
  /** As a WHO: `ana`, `key:SHA256:…`. */
  readonly who: string;
  readonly right: Right;
  /** What gives it: `member of acme`, `write by a grant to team devs`. */
  readonly via: string;
}

/** Everybody who may at least read a repository at this moment, each decided anew: users by name, then deploy keys. */
export async function* whoReaches({ core }: Context, repo: Repository): AsyncGenerator<Reaching> {
  const users = paged<User>((after) => core.store.users.page(after?.name ?? '', pageRows));
  for await (const user of users) {
    const { right, why } = await core.access.rightOf(user, repo);
    if (reaches(right, 'read')) yield { who: user.name, right, via: why };
  }
  const keys = await core.store.deployKeys.within({ repo });
  const fingerprints = new Map(keys.map(({ key }) => [key.id, key.fingerprint]));
  for (const [keyId, fingerprint] of fingerprints) {
    const principal: Principal = { kind: 'deploy-key', keyId, fingerprint };
    const standing = await core.access.standing(principal);
    const { right, why } = await core.access.rightOn(principal, standing, repo);
    if (reaches(right, 'read')) yield { who: `key:${fingerprint}`, right, via: why };
  }
}
