import type { RepoPath } from '../model/repo.ts';
import type { Decision, Right, Role, Standing } from '../model/right.ts';
import type { Grantee } from '../store/access.ts';
import type { Namespace } from '../store/names.ts';
import type { Org } from '../store/orgs.ts';
import type { Repository } from '../store/repositories.ts';
import type { User } from '../store/users.ts';

/** What a request asks to be allowed, by names; `Access.authorize` looks them up and decides. */
export type Ask =
  | {
      readonly need: 'signed-in' | 'account' | 'site-admin' | 'operator' | 'org-create' | 'peer';
    }
  | { readonly need: 'self'; readonly user: string | undefined }
  | { readonly need: 'key'; readonly fingerprint: string }
  | { readonly need: 'repo'; readonly path: RepoPath; readonly right: Right }
  | { readonly need: 'create'; readonly path: RepoPath }
  | {
      readonly need: 'carry';
      readonly path: RepoPath;
      readonly right: 'read' | 'write';
      /** The id of the server to carry it to or from; any that it is linked with, without. */
      readonly serverId: string | undefined;
    }
  | { readonly need: 'org'; readonly org: string; readonly role: Role | undefined }
  | {
      readonly need: 'role';
      readonly org: string;
      readonly user: string;
      readonly to: Role | undefined;
    }
  | { readonly need: 'can'; readonly user: string; readonly path: RepoPath }
  | {
      readonly need: 'org-grant';
      readonly org: string;
      readonly who: string;
      readonly to: Right;
    }
  | { readonly need: 'grant'; readonly path: RepoPath; readonly who: string; readonly to: Right };

/** What an ask led to; only what it named is there. */
export interface Granted {
  readonly standing: Standing;
  readonly decision: Decision;
  readonly repo?: Repository;
  readonly namespace?: Namespace;
  readonly org?: Org;
  readonly user?: User;
  readonly who?: Grantee;
  /** The role or right that the change would replace. */
  readonly from?: Role | Right | undefined;
}
