import type { PeerRole } from './peer.ts';
import type { Visibility } from './repo.ts';

export const rights = ['none', 'read', 'write', 'admin', 'owner'] as const;
export type Right = (typeof rights)[number];

/** What may be granted on a repository or an org; `owner` comes from a namespace or a role alone. */
export const grantable = ['read', 'write', 'admin'] as const;
export type Grantable = (typeof grantable)[number];

export const roles = ['member', 'admin', 'owner'] as const;
export type Role = (typeof roles)[number];

export function reaches(held: Right, wanted: Right): boolean {
  return rights.indexOf(held) >= rights.indexOf(wanted);
}

export function roleReaches(held: Role | undefined, wanted: Role): boolean {
  return held !== undefined && roles.indexOf(held) >= roles.indexOf(wanted);
}

/** Who asks, as the store has it at this moment. */
export interface Standing {
  readonly kind: 'operator' | 'user' | 'deploy-key' | 'server' | 'invitee' | 'anonymous';
  /** Why this principal has nothing any more (disabled, revoked, ended); undefined when it is in good standing. */
  readonly ended: string | undefined;
  readonly siteAdmin: boolean;
}

/** Everything about one repository that bears on one principal's right to it. */
export interface RepoStanding {
  readonly visibility: Visibility;
  readonly archived: boolean;
  readonly ownNamespace: boolean;
  /** The principal's role in the org that the repository belongs to. */
  readonly orgRole: Role | undefined;
  readonly orgName: string | undefined;
  /** What the role `member` gives in that org. */
  readonly memberRight: Right;
  readonly grants: readonly {
    readonly right: Right;
    readonly via: string;
    /** A pattern of the refs that it lets be written; all of them without one. */
    readonly refs?: string | undefined;
  }[];
  /** Where a server asks: what it is to us, whether the repository is linked with it, and was born there. */
  readonly peer?: {
    readonly role: PeerRole;
    readonly linked: boolean;
    readonly bornThere: boolean;
  };
  /** The main whose mirror this is: nobody else writes to it. */
  readonly mirrorOf?: string;
}

/** What a request needs before it may run; all that any of them refers to has been looked up already. */
export type Need =
  | { readonly kind: 'signed-in' }
  /** To run commands that do more than say who asks: what a deploy key may not. */
  | { readonly kind: 'command' }
  | { readonly kind: 'account' }
  | { readonly kind: 'site-admin' }
  | { readonly kind: 'operator' }
  /** The protocol that servers speak among themselves. */
  | { readonly kind: 'peer' }
  /** To take the invitation that one signed in with. */
  | { readonly kind: 'join' }
  | { readonly kind: 'self'; readonly isSelf: boolean }
  | {
      readonly kind: 'repo';
      readonly right: Right;
      readonly on: RepoStanding;
      /** Whether it may not be archived, also where no write is asked for. */
      readonly alive?: boolean | undefined;
    }
  /** Has this server carry a repository to another or from it, with its own key (S9). */
  | {
      readonly kind: 'carry';
      readonly right: 'read' | 'write';
      /** The asker's own right on it. */
      readonly held: Right;
      /** Whether it is linked with that server. */
      readonly linked: boolean;
    }
  | {
      /** Gives or takes a right on a repository: `from` is what the other has by the grant that changes. */
      readonly kind: 'grant';
      readonly on: RepoStanding;
      readonly from: Right;
      readonly to: Right;
    }
  | { readonly kind: 'create'; readonly ownNamespace: boolean; readonly orgRole: Role | undefined }
  | { readonly kind: 'org'; readonly role: Role; readonly held: Role | undefined }
  | {
      /** Gives or takes a role: `undefined` stands for no membership. */
      readonly kind: 'role';
      readonly held: Role | undefined;
      readonly isSelf: boolean;
      readonly from: Role | undefined;
      readonly to: Role | undefined;
    };

export interface Decision {
  readonly allowed: boolean;
  /** The right held on the repository in question; `none` where the need is about something else. */
  readonly right: Right;
  /** One clause that names what decided: `member of acme`, `admin by a grant`, `key SHA256:… ended`. */
  readonly why: string;
  /** Patterns of the refs that may be written, one of which has to fit; undefined for all. */
  readonly refs?: readonly string[];
}

const visible: Readonly<Record<Visibility, boolean>> = {
  private: false,
  internal: true,
  public: true,
};

function candidates(who: Standing, on: RepoStanding): { right: Right; why: string }[] {
  if (who.kind === 'operator') return [{ right: 'owner', why: 'operator' }];
  const held: { right: Right; why: string }[] = on.grants.map(({ right, via }) => ({
    right,
    why: via,
  }));
  if (who.kind === 'server') return [...peerCandidates(on), ...cappedForMain(held, on)];
  if (who.kind !== 'user') return held;
  if (who.siteAdmin) held.push({ right: 'owner', why: 'site admin' });
  if (on.ownNamespace) held.push({ right: 'owner', why: 'own namespace' });
  if (on.orgRole !== undefined) {
    const right = on.orgRole === 'member' ? on.memberRight : on.orgRole;
    held.push({ right, why: `${on.orgRole} of ${on.orgName}` });
  }
  if (visible[on.visibility]) held.push({ right: 'read', why: `${on.visibility} repository` });
  return held;
}

/** What a server's role and links give it. A role alone lets nobody write (S19). */
function peerCandidates({ peer }: RepoStanding): { right: Right; why: string }[] {
  if (peer === undefined) return [];
  const held: { right: Right; why: string }[] = [];
  if (peer.role === 'backup') held.push({ right: 'read', why: 'a backup' });
  if (peer.linked) {
    const equals = peer.role === 'dev' || peer.role === 'neighbor';
    const right = equals || (peer.role === 'main' && peer.bornThere) ? 'write' : 'read';
    held.push({ right, why: peer.bornThere ? 'born there' : 'linked' });
  }
  return held;
}

/** A repository born here is never writable by a main, whatever it was granted (S19). */
function cappedForMain(
  grants: { right: Right; why: string }[],
  { peer }: RepoStanding,
): { right: Right; why: string }[] {
  if (peer?.role !== 'main' || peer.bornThere) return grants;
  return grants.map((each) => ({ ...each, right: 'read' }));
}

/** The highest right that a principal in good standing has on a repository, and what gives it. */
function held(who: Standing, on: RepoStanding): { right: Right; why: string } {
  let best: { right: Right; why: string } = {
    right: 'none',
    why: 'nothing gives you a right to it',
  };
  for (const each of candidates(who, on)) if (!reaches(best.right, each.right)) best = each;
  return best;
}

function commands(who: Standing): boolean {
  return who.kind === 'operator' || who.siteAdmin;
}

/** May a right or role at `from` be changed to `to` by one who holds `mine`? (S10: nobody rises, nobody is robbed.) */
function mayChange<T>(
  order: readonly T[],
  mine: T,
  from: T | undefined,
  to: T | undefined,
): boolean {
  const level = (value: T | undefined) => (value === undefined ? -1 : order.indexOf(value));
  const top = level(mine) === order.length - 1;
  // What is already so takes nothing from anybody (contract, section 3: done already is done).
  return level(to) <= level(mine) && (top || from === to || level(from) < level(mine));
}

function decideRepo(who: Standing, need: Extract<Need, { kind: 'repo' | 'grant' }>): Decision {
  const { right, why } = held(who, need.on);
  if (need.kind === 'grant') {
    const allowed = reaches(right, 'admin') && mayChange(rights, right, need.from, need.to);
    return { allowed, right, why };
  }
  if (!reaches(right, need.right)) return { allowed: false, right, why };
  const changesIt = need.right === 'write' || need.alive === true;
  if (changesIt && need.on.archived) {
    return { allowed: false, right, why: 'the repository is archived' };
  }
  if (changesIt && need.on.mirrorOf !== undefined && !isItsMain(who, need.on)) {
    return { allowed: false, right, why: `it is a mirror of ${need.on.mirrorOf}` };
  }
  const refs = writableRefs(who, need.on);
  return { allowed: true, right, why, ...(refs === undefined ? {} : { refs }) };
}

/** Every grant that lets a deploy key write adds its refs; one without a pattern adds all. */
function writableRefs(who: Standing, on: RepoStanding): readonly string[] | undefined {
  if (who.kind !== 'deploy-key') return undefined;
  const writing = on.grants.filter(({ right }) => reaches(right, 'write'));
  const patterns = writing.flatMap(({ refs }) => refs ?? []);
  return writing.length > 0 && patterns.length === writing.length ? patterns : undefined;
}

function isItsMain(who: Standing, { peer }: RepoStanding): boolean {
  return who.kind === 'server' && peer?.role === 'main' && peer.bornThere;
}

function decideOrg(who: Standing, need: Extract<Need, { kind: 'org' | 'role' }>): Decision {
  const role = commands(who) ? 'owner' : need.held;
  const why = commands(who)
    ? who.kind === 'operator'
      ? 'operator'
      : 'site admin'
    : `${role ?? 'no'} role`;
  if (need.kind === 'org') return { allowed: roleReaches(role, need.role), right: 'none', why };
  const leaves = need.isSelf && need.to === undefined;
  const allowed =
    leaves ||
    (role !== undefined &&
      roleReaches(role, 'admin') &&
      mayChange(roles, role, need.from, need.to));
  return { allowed, right: 'none', why };
}

function decideSite(who: Standing, need: Need): boolean {
  if (who.kind === 'invitee') return need.kind === 'join';
  switch (need.kind) {
    case 'signed-in':
      return who.kind !== 'anonymous' && who.kind !== 'server';
    case 'peer':
      return who.kind === 'server';
    case 'carry':
      return commands(who) || (need.linked && reaches(need.held, need.right));
    case 'command':
      return who.kind !== 'deploy-key';
    case 'account':
      return who.kind === 'user' || who.kind === 'operator';
    case 'site-admin':
      return commands(who);
    case 'operator':
      return who.kind === 'operator';
    case 'self':
      return commands(who) || (who.kind === 'user' && need.isSelf);
    case 'create':
      return (
        commands(who) ||
        (who.kind === 'user' && (need.ownNamespace || roleReaches(need.orgRole, 'admin')))
      );
    default:
      return false;
  }
}

/**
 * What a principal may do, and why: the only function in cpm that says so. It is pure; `core/access.ts` loads what it reads.
 * A right is the highest of visibility's, the org role's, grants', own namespace's and site admin's (contract, section 1).
 */
export function decide(who: Standing, need: Need): Decision {
  if (who.ended !== undefined) return { allowed: false, right: 'none', why: who.ended };
  switch (need.kind) {
    case 'repo':
    case 'grant':
      return decideRepo(who, need);
    case 'org':
    case 'role':
      return decideOrg(who, need);
    default:
      return {
        allowed: decideSite(who, need),
        right: 'none',
        why: who.siteAdmin ? 'site admin' : who.kind,
      };
  }
}
