import type { RepoPath } from '../model/repo.ts';
import type { Decision, Right, Role, Standing } from '../model/right.ts';
import type { Grantee } from '../store/access.ts';
import type { Key } from '../store/key-rows.ts';
import type { Namespace } from '../store/names.ts';
import type { Org } from '../store/orgs.ts';
import type { Repository } from '../store/repositories.ts';
import type { TrashedRepository } from '../store/trash.ts';
import type { User } from '../store/users.ts';

/** What a request asks to be allowed, by names; `Access.authorize` looks them up and decides. */
export type Ask =
  | {
      readonly need:
        | 'signed-in'
        | 'account'
        | 'site-admin'
        | 'operator'
        | 'org-create'
        | 'peer'
        | 'join';
    }
  /** To bind a deploy key of this fingerprint, if there is one, to more than it is bound to. */
  | { readonly need: 'bind'; readonly fingerprint: string }
  | { readonly need: 'self'; readonly user: string | undefined }
  | {
      readonly need: 'key';
      readonly fingerprint: string;
      readonly act: 'see' | 'change' | 'verify';
    }
  | {
      readonly need: 'repo';
      readonly path: RepoPath;
      readonly right: Right;
      /** Whether it may not be archived, also where no write is asked for. */
      readonly alive?: true;
      /** Whether it is the operator's alone, whatever right others have. */
      readonly operatorAlone?: boolean;
      /** A git program asks; a deploy key may ask for nothing else. */
      readonly through?: 'git';
    }
  /** The same right on each of several repositories. */
  | { readonly need: 'repos'; readonly paths: readonly RepoPath[]; readonly right: Right }
  | { readonly need: 'create'; readonly path: RepoPath }
  | {
      readonly need: 'carry';
      readonly path: RepoPath;
      readonly right: 'read' | 'write';
      /** The id of the server to carry it to or from. */
      readonly serverId: string;
    }
  /** Another name for a repository; a bare one lies in the namespace where the repository is. */
  | { readonly need: 'rename'; readonly path: RepoPath; readonly to: RepoPath }
  | { readonly need: 'alias'; readonly alias: string; readonly path: RepoPath }
  /** What is to be done with the repository that an alias leads to. */
  | { readonly need: 'alias-of'; readonly alias: string }
  | {
      readonly need: 'undo';
      readonly path: RepoPath;
      /** A full name, or a word that means it. */
      readonly ref: string;
      readonly to: string | undefined;
    }
  | {
      /** A repository in the trash, of which there may be several of one name. */
      readonly need: 'trashed';
      readonly path: RepoPath;
      readonly id: string | undefined;
      /** Whether the last deleted one is to have its name back. */
      readonly restores?: true;
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
  /** The last deleted first; at least one. */
  readonly trashed?: readonly TrashedRepository[];
  readonly repos?: readonly Repository[];
  /** The old name that led to the repository. */
  readonly calledBefore?: string;
  /** The ids of the repositories that the name which is to be taken leads to so far. */
  readonly retakes?: readonly string[];
  readonly namespace?: Namespace;
  readonly org?: Org;
  readonly user?: User;
  readonly key?: Key;
  readonly who?: Grantee;
  /** The role or right that the change would replace. */
  readonly from?: Role | Right | undefined;
}
