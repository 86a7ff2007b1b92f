/** A fault put into the rights code, and the rows of the table that must notice it. */
export interface Mutation {
  readonly fault: string;
  /** Below src/. */
  readonly file: string;
  /** Stands in the file once. */
  readonly from: string;
  readonly to: string;
  readonly noticedBy: RegExp;
}

const right = 'model/right.ts';
const access = 'core/access.ts';
const grants = 'store/holdings.ts';

/** One mistake each, such as an editor makes at the end of a long day. */
export const mutations: readonly Mutation[] = [
  {
    fault: 'a right reaches only what is below it',
    file: right,
    from: 'rights.indexOf(held) >= rights.indexOf(wanted)',
    to: 'rights.indexOf(held) > rights.indexOf(wanted)',
    noticedBy: /^show acme/,
  },
  {
    fault: 'the archive is not looked at',
    file: right,
    from: 'changesIt && need.on.archived',
    to: 'false',
    noticedBy: /^git push acme\/old/,
  },
  {
    fault: 'a member of an organization is its admin',
    file: right,
    from: "on.orgRole === 'member' ? on.memberRight",
    to: "on.orgRole === 'member' ? 'admin'",
    noticedBy: /^repo set acme\/private/,
  },
  {
    fault: 'what members may is always to read',
    file: right,
    from: "on.orgRole === 'member' ? on.memberRight",
    to: "on.orgRole === 'member' ? 'read'",
    noticedBy: /^show (beta|gama)/,
  },
  {
    fault: 'internal is for everybody, signed in or not',
    file: right,
    from: "if (who.kind !== 'user') return held;",
    to: '',
    noticedBy: /^git clone acme\/internal/,
  },
  {
    fault: 'a deploy key runs whatever a user may',
    file: right,
    from: "return who.kind !== 'deploy-key';",
    to: 'return true;',
    noticedBy: /^show acme\/private/,
  },
  {
    fault: 'a deploy key writes everywhere where it may write at all',
    file: right,
    from: "if (who.kind !== 'deploy-key') return undefined;",
    to: 'return undefined;',
    noticedBy: /^git push acme\/private \S/,
  },
  {
    fault: 'a deploy key that has ended, is pending or was revoked still counts',
    file: 'core/key-access.ts',
    from: 'return keyFault(await store.keys.byId(principal.keyId), undefined);',
    to: 'return undefined;',
    noticedBy: /^git clone acme\/private/,
  },
  {
    fault: 'private is internal',
    file: right,
    from: 'private: false',
    to: 'private: true',
    noticedBy: /^show un\/private/,
  },
  {
    fault: 'internal is private',
    file: right,
    from: 'internal: true',
    to: 'internal: false',
    noticedBy: /^show acme\/internal/,
  },
  {
    fault: "every user's namespace is everybody's",
    file: 'core/rights-on.ts',
    from: 'repo.namespaceId === principal.id',
    to: 'true',
    noticedBy: /^show un\/private/,
  },
  {
    fault: 'a site admin owns nothing',
    file: right,
    from: "if (who.siteAdmin) held.push({ right: 'owner', why: 'site admin' });",
    to: '',
    noticedBy: /^show un\/private/,
  },
  {
    fault: 'everybody may do what a site admin may',
    file: right,
    from: "return who.kind === 'operator' || who.siteAdmin;",
    to: "return who.kind === 'operator' || who.kind === 'user';",
    noticedBy: /^user list/,
  },
  {
    fault: 'the last right found counts, not the highest',
    file: right,
    from: 'if (!reaches(best.right, each.right)) best = each;',
    to: 'best = each;',
    noticedBy: /^git push acme\/private/,
  },
  {
    fault: 'the disabled may go on',
    file: access,
    from: "user.state === 'disabled' ?",
    to: 'false ?',
    noticedBy: /^whoami/,
  },
  {
    fault: 'a key that has ended, is pending or was revoked still counts',
    file: access,
    from: ': keyFault(key, user.id);',
    to: ': undefined;',
    noticedBy: /^whoami/,
  },
  {
    fault: 'what has ended is told only where a decision is asked for',
    file: access,
    from: "if (standing.ended !== undefined) throw new UserError('denied', standing.ended);",
    to: '',
    noticedBy: /^git clone acme\/private/,
  },
  {
    fault: 'what may not be read is denied, not hidden',
    file: access,
    from: "if (!decision.allowed && !reaches(decision.right, 'read')) continue;",
    to: '',
    noticedBy: /^git clone acme\/private/,
  },
  {
    fault: 'what may be read is hidden from those who may not do more',
    file: access,
    from: 'throw await tooLittle(this.#store, { principal, repo }, decision, right);',
    to: 'continue;',
    noticedBy: /^repo set acme\/internal/,
  },
  {
    fault: 'everything may be changed by who may change anything',
    file: right,
    from: 'return level(to) <= level(mine) && (top || from === to || level(from) < level(mine));',
    to: 'return true;',
    noticedBy: /^repo access revoke un\/private cap/,
  },
  {
    fault: 'equals may be robbed',
    file: right,
    from: 'level(from) < level(mine)',
    to: 'level(from) <= level(mine)',
    noticedBy: /^org member remove acme aaa/,
  },
  {
    fault: 'more may be given than one has',
    file: right,
    from: 'return level(to) <= level(mine) && ',
    to: 'return ',
    noticedBy: /^org member role acme mmm owner/,
  },
  {
    fault: 'owners may not change owners',
    file: right,
    from: '(top || from === to || ',
    to: '(from === to || ',
    noticedBy: /^org member remove acme ooo/,
  },
  {
    fault: 'anybody may take a membership away',
    file: right,
    from: 'const leaves = need.isSelf && need.to === undefined;',
    to: 'const leaves = need.to === undefined;',
    noticedBy: /^org member remove acme mmm/,
  },
  {
    fault: 'members may change roles',
    file: right,
    from: "roleReaches(role, 'admin') &&",
    to: "roleReaches(role, 'member') &&",
    noticedBy: /^org member add acme tmp/,
  },
  {
    fault: 'members of an organization may create in it',
    file: right,
    from: "roleReaches(need.orgRole, 'admin')",
    to: "roleReaches(need.orgRole, 'member')",
    noticedBy: /^init acme\/\{new\}/,
  },
  {
    fault: 'everybody may create everywhere',
    file: right,
    from: "(who.kind === 'user' && (need.ownNamespace ||",
    to: "(who.kind === 'user' && (true ||",
    noticedBy: /^init un\/\{new\}/,
  },
  {
    fault: "another user's things are one's own",
    file: right,
    from: "(who.kind === 'user' && need.isSelf)",
    to: "who.kind === 'user'",
    noticedBy: /^user show tgt/,
  },
  {
    fault: 'a site admin is the operator',
    file: right,
    from: "case 'operator':\n      return who.kind === 'operator';",
    to: "case 'operator':\n      return commands(who);",
    noticedBy: /^config set/,
  },
  {
    fault: 'to give a right it takes none that reaches so far',
    file: access,
    from: "await this.#repo(principal, standing, {\n      path: ask.path,\n      right: 'admin',\n    });",
    to: '{ standing, repo: (await this.#lookup.leads(principal, ask.path))[0]?.repo };',
    noticedBy: /^repo access grant acme\/private tmp read/,
  },
  {
    fault: 'a grant on an organization gives nothing',
    file: grants,
    from: 'grants: [...(grants.get(id) ?? []), ...(grants.get(namespaceId) ?? [])],',
    to: 'grants: [...(grants.get(id) ?? [])],',
    noticedBy: /^show acme\/private/,
  },
  {
    fault: 'a grant to an organization gives its members nothing',
    file: grants,
    from: "eb.selectFrom('org_member').select('org_id as id').where('user_id', '=', userId)",
    to: "eb.selectFrom('org_member').select('org_id as id').where('user_id', '=', '')",
    noticedBy: /^show un\/private/,
  },
];
