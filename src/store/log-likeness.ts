import type {
  GrantBody,
  KeyBody,
  MembersBody,
  OrgBody,
  RepoBody,
  RulesBody,
  UserBody,
} from './log-bodies.ts';

/** What bears on rights of a subject of the change log, as two servers have it; undefined where it is not there. */
interface Two<T> {
  readonly theirs: T | undefined;
  /** With ids as they are there. */
  readonly mine: T | undefined;
}

/**
 * In what a subject is otherwise here than its main says; undefined where it is the same. What names and dates two of
 * the same have is no difference.
 */
export function unlikeness(kind: string, two: Two<unknown>): string | undefined {
  switch (kind) {
    case 'user':
      return ofUser(two as Two<UserBody>);
    case 'key':
      return ofKey(two as Two<KeyBody>);
    case 'org':
      return ofOrg(two as Two<OrgBody>);
    case 'members':
      return ofMembers(two as Two<MembersBody>);
    case 'repo':
      return ofRepo(two as Two<RepoBody>);
    case 'grants':
      return ofGrants(two as Two<readonly GrantBody[]>);
    case 'rules':
      return ofRules(two as Two<RulesBody>);
    default:
      return undefined;
  }
}

function ofUser({ theirs, mine }: Two<UserBody>): string | undefined {
  if (theirs === undefined) return undefined;
  if (mine === undefined) return 'is not here';
  if (theirs.state !== mine.state) return `is ${theirs.state} there, ${mine.state} here`;
  if (theirs.admin !== mine.admin) return 'is a site admin on one side alone';
  if (theirs.email !== mine.email) return 'has another address here';
  if (theirs.state !== 'active') return undefined;
  return same(theirs.keys, mine.keys) ? undefined : 'has other keys here';
}

function ofKey({ theirs, mine }: Two<KeyBody>): string | undefined {
  if (theirs === undefined) return undefined;
  // What is no key there any more is to be none here; it may never have been one.
  if (theirs.revoked_at !== null) {
    return mine === undefined || mine.revoked_at !== null ? undefined : 'is revoked there alone';
  }
  if (mine === undefined) return 'is not here';
  if (mine.revoked_at !== null) return 'is revoked here alone';
  const owned = theirs.user_id === mine.user_id && theirs.kind === mine.kind;
  if (!owned) return "is somebody else's here";
  return theirs.expires_at === mine.expires_at ? undefined : 'ends at another time here';
}

function ofOrg({ theirs, mine }: Two<OrgBody>): string | undefined {
  if (theirs === undefined) return mine === undefined ? undefined : 'is here alone';
  if (mine === undefined) return 'is not here';
  return theirs.member_right === mine.member_right ? undefined : 'gives its members another right';
}

function ofMembers({ theirs, mine }: Two<MembersBody>): string | undefined {
  if (!same(theirs?.members ?? [], mine?.members ?? [])) return 'has other members here';
  return same(theirs?.teams ?? [], mine?.teams ?? []) ? undefined : 'has other teams here';
}

function ofRepo({ theirs, mine }: Two<RepoBody>): string | undefined {
  const isThere = theirs !== undefined && theirs.deleted_at === null;
  const isHere = mine !== undefined && mine.deleted_at === null;
  if (!isThere) return isHere ? 'is deleted there' : undefined;
  if (!isHere) return 'is not here';
  const placed = theirs.namespace_id === mine.namespace_id || theirs.namespace === mine.namespace;
  if (theirs.name !== mine.name || !placed) {
    return `is called ${mine.namespace}/${mine.name} here`;
  }
  if (theirs.visibility !== mine.visibility) return `is ${mine.visibility} here`;
  if (theirs.archived !== mine.archived) return 'is archived on one side alone';
  if (theirs.default_branch !== mine.default_branch) return 'has another default branch here';
  return theirs.description === mine.description ? undefined : 'has another description here';
}

function ofGrants({ theirs, mine }: Two<readonly GrantBody[]>): string | undefined {
  const facts = (grants: readonly GrantBody[] = []) =>
    grants.map((each) => [each.who_kind, each.who_id, each.right, each.refs].join(' ')).sort();
  return same(facts(theirs), facts(mine)) ? undefined : 'is granted to others, or otherwise, here';
}

function ofRules({ theirs, mine }: Two<RulesBody>): string | undefined {
  return same(theirs?.rules ?? [], mine?.rules ?? []) ? undefined : 'has other rules here';
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
