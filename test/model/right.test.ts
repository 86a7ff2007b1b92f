import t from 'tap';
import type { PeerRole } from '../../src/model/peer.ts';
import {
  decide,
  type Need,
  type RepoStanding,
  type Right,
  type Role,
  reaches,
  rights,
  roleReaches,
  roles,
  type Standing,
} from '../../src/model/right.ts';

const stranger: RepoStanding = {
  visibility: 'private',
  archived: false,
  ownNamespace: false,
  orgRole: undefined,
  orgName: 'acme',
  memberRight: 'read',
  grants: [],
};
const user: Standing = { kind: 'user', ended: undefined, siteAdmin: false };
const siteAdmin: Standing = { ...user, siteAdmin: true };
const operator: Standing = { kind: 'operator', ended: undefined, siteAdmin: false };
const deployKey: Standing = { ...user, kind: 'deploy-key' };
const server: Standing = { ...user, kind: 'server' };
const anonymous: Standing = { ...user, kind: 'anonymous' };

const grant = (right: Right) => ({ right, via: `${right} by a grant` });
const rightOf = (who: Standing, on: Partial<RepoStanding>) =>
  decide(who, { kind: 'repo', right: 'owner', on: { ...stranger, ...on } });

t.test('a right on a repository is the highest of all that give one, and says which', async (t) => {
  const cases: [string, Standing, Partial<RepoStanding>, Right, string][] = [
    ['nothing', user, {}, 'none', 'nothing gives you a right to it'],
    ['internal', user, { visibility: 'internal' }, 'read', 'internal repository'],
    ['public', user, { visibility: 'public' }, 'read', 'public repository'],
    ['own', user, { ownNamespace: true }, 'owner', 'own namespace'],
    ['member', user, { orgRole: 'member' }, 'read', 'member of acme'],
    [
      'member of a closed org',
      user,
      { orgRole: 'member', memberRight: 'none' },
      'none',
      'nothing gives you a right to it',
    ],
    [
      'member who writes',
      user,
      { orgRole: 'member', memberRight: 'write' },
      'write',
      'member of acme',
    ],
    ['org admin', user, { orgRole: 'admin', memberRight: 'none' }, 'admin', 'admin of acme'],
    ['org owner', user, { orgRole: 'owner' }, 'owner', 'owner of acme'],
    ['read grant', user, { grants: [grant('read')] }, 'read', 'read by a grant'],
    [
      'several grants',
      user,
      { grants: [grant('read'), grant('admin'), grant('write')] },
      'admin',
      'admin by a grant',
    ],
    [
      'a grant above the role',
      user,
      { orgRole: 'member', grants: [grant('write')] },
      'write',
      'write by a grant',
    ],
    [
      'a role above the grant',
      user,
      { orgRole: 'admin', grants: [grant('write')] },
      'admin',
      'admin of acme',
    ],
    [
      'a grant above visibility',
      user,
      { visibility: 'internal', grants: [grant('write')] },
      'write',
      'write by a grant',
    ],
    ['site admin', siteAdmin, {}, 'owner', 'site admin'],
    ['operator', operator, {}, 'owner', 'operator'],
    ['deploy key', deployKey, {}, 'none', 'nothing gives you a right to it'],
    [
      'deploy key, internal',
      deployKey,
      { visibility: 'internal' },
      'none',
      'nothing gives you a right to it',
    ],
    [
      'deploy key with a grant',
      deployKey,
      { grants: [grant('write')] },
      'write',
      'write by a grant',
    ],
    [
      'server, internal',
      server,
      { visibility: 'internal' },
      'none',
      'nothing gives you a right to it',
    ],
    [
      'anonymous, internal',
      anonymous,
      { visibility: 'internal' },
      'none',
      'nothing gives you a right to it',
    ],
    ['anonymous, public', anonymous, { visibility: 'public' }, 'read', 'public repository'],
  ];
  for (const [name, who, on, right, why] of cases) t.match(rightOf(who, on), { right, why }, name);
});

t.test('what is shared one way alone is read, or written, by a neighbor', async (t) => {
  const peer = { role: 'neighbor', linked: true, bornThere: false } as const;
  const may = (oneWay: 'in' | 'out' | undefined, right: 'read' | 'write', more = {}) =>
    decide(server, {
      kind: 'repo',
      right,
      on: { ...stranger, peer: { ...peer, oneWay }, ...more },
    }).allowed;
  t.strictSame([may(undefined, 'read'), may(undefined, 'write')], [true, true]);
  t.strictSame([may('out', 'read'), may('out', 'write')], [true, false]);
  t.strictSame([may('in', 'read'), may('in', 'write')], [false, true]);
  t.ok(may('in', 'read', { grants: [grant('read')] }), 'a grant gives what the link does not');
});

t.test('a right allows what it reaches and nothing above it', async (t) => {
  for (const held of ['read', 'write', 'admin'] as const)
    for (const right of ['read', 'write', 'admin', 'owner'] as const) {
      const on = { ...stranger, grants: [grant(held)] };
      const allowed = rights.indexOf(held) >= rights.indexOf(right);
      t.equal(decide(user, { kind: 'repo', right, on }).allowed, allowed, `${held} for ${right}`);
    }
});

t.test('rights and roles have an order', async (t) => {
  for (const [i, held] of rights.entries())
    for (const [j, wanted] of rights.entries())
      t.equal(reaches(held, wanted), i >= j, `${held} ${wanted}`);
  for (const [i, held] of roles.entries())
    for (const [j, wanted] of roles.entries())
      t.equal(roleReaches(held, wanted), i >= j, `${held} ${wanted}`);
  for (const wanted of roles) t.notOk(roleReaches(undefined, wanted));
});

t.test('the patterns of a deploy key limit what it writes, unless a grant has none', async (t) => {
  const bound = (right: Right, refs?: string) => ({ ...grant(right), refs });
  const cases: [string, Standing, ReturnType<typeof bound>[], readonly string[] | undefined][] = [
    ['one pattern', deployKey, [bound('write', 'ci/*')], ['ci/*']],
    ['two', deployKey, [bound('write', 'a'), bound('write', 'b')], ['a', 'b']],
    ['one without', deployKey, [bound('write', 'a'), bound('write')], undefined],
    ['reading adds none', deployKey, [bound('write', 'a'), bound('read')], ['a']],
    ['none', deployKey, [bound('write')], undefined],
    ['a user has no patterns', user, [bound('write', 'a')], undefined],
  ];
  for (const [name, who, grants, refs] of cases) {
    const decision = decide(who, { kind: 'repo', right: 'write', on: { ...stranger, grants } });
    t.ok(decision.allowed, name);
    t.strictSame(decision.refs, refs, name);
  }
});

t.test('an archived repository is read and administered, and nobody writes to it', async (t) => {
  for (const who of [operator, siteAdmin, user]) {
    const on = { ...stranger, archived: true, ownNamespace: true };
    t.match(decide(who, { kind: 'repo', right: 'write', on }), {
      allowed: false,
      right: 'owner',
      why: 'the repository is archived',
    });
    for (const right of ['read', 'admin', 'owner'] as const)
      t.ok(decide(who, { kind: 'repo', right, on }).allowed, right);
  }
});

t.test('who has ended has nothing, whatever else is true', async (t) => {
  const ended: Standing = { kind: 'user', ended: 'the account ana is disabled', siteAdmin: true };
  const on: RepoStanding = { ...stranger, visibility: 'public', ownNamespace: true };
  const needs: Need[] = [
    { kind: 'signed-in' },
    { kind: 'account' },
    { kind: 'site-admin' },
    { kind: 'operator' },
    { kind: 'self', isSelf: true },
    { kind: 'repo', right: 'read', on },
    { kind: 'grant', on, from: 'none', to: 'read' },
    { kind: 'create', ownNamespace: true, orgRole: 'owner' },
    { kind: 'org', role: 'member', held: 'owner' },
    { kind: 'role', held: 'owner', isSelf: true, from: 'member', to: undefined },
  ];
  for (const need of needs)
    t.strictSame(
      decide(ended, need),
      { allowed: false, right: 'none', why: 'the account ana is disabled' },
      need.kind,
    );
});

t.test('what concerns the site is decided by who one is', async (t) => {
  const all = { operator, siteAdmin, user, deployKey, server, anonymous };
  const cases: [Need, string[]][] = [
    [{ kind: 'signed-in' }, ['operator', 'siteAdmin', 'user', 'deployKey']],
    [{ kind: 'peer' }, ['server']],
    [{ kind: 'account' }, ['operator', 'siteAdmin', 'user']],
    [{ kind: 'command' }, ['operator', 'siteAdmin', 'user', 'server', 'anonymous']],
    [{ kind: 'site-admin' }, ['operator', 'siteAdmin']],
    [{ kind: 'operator' }, ['operator']],
    [{ kind: 'self', isSelf: false }, ['operator', 'siteAdmin']],
    [{ kind: 'self', isSelf: true }, ['operator', 'siteAdmin', 'user']],
    [{ kind: 'create', ownNamespace: false, orgRole: undefined }, ['operator', 'siteAdmin']],
    [{ kind: 'create', ownNamespace: false, orgRole: 'member' }, ['operator', 'siteAdmin']],
    [{ kind: 'create', ownNamespace: false, orgRole: 'admin' }, ['operator', 'siteAdmin', 'user']],
    [{ kind: 'create', ownNamespace: true, orgRole: undefined }, ['operator', 'siteAdmin', 'user']],
    [{ kind: 'org', role: 'member', held: undefined }, ['operator', 'siteAdmin']],
    [{ kind: 'org', role: 'admin', held: 'member' }, ['operator', 'siteAdmin']],
  ];
  for (const [need, allowed] of cases)
    t.strictSame(
      Object.entries(all)
        .filter(([, who]) => decide(who, need).allowed)
        .map(([name]) => name),
      allowed,
      JSON.stringify(need),
    );
});

// Written by hand: what one who holds `mine` may turn into what.
const changes: [mine: Role | undefined, from: Role | undefined, to: (Role | 'out')[]][] = [
  [undefined, undefined, []],
  [undefined, 'member', []],
  [undefined, 'owner', []],
  ['member', undefined, []],
  ['member', 'member', []],
  ['member', 'admin', []],
  ['admin', undefined, ['out', 'member', 'admin']],
  ['admin', 'member', ['out', 'member', 'admin']],
  ['admin', 'admin', ['admin']],
  ['admin', 'owner', []],
  ['owner', undefined, ['out', 'member', 'admin', 'owner']],
  ['owner', 'member', ['out', 'member', 'admin', 'owner']],
  ['owner', 'admin', ['out', 'member', 'admin', 'owner']],
  ['owner', 'owner', ['out', 'member', 'admin', 'owner']],
];

t.test(
  'S10 a role is given and taken by those above it, up to their own; owners, among owners',
  async (t) => {
    for (const [held, from, allowed] of changes)
      for (const to of ['out', ...roles] as const) {
        const need: Need = {
          kind: 'role',
          held,
          isSelf: false,
          from,
          to: to === 'out' ? undefined : to,
        };
        t.equal(decide(user, need).allowed, allowed.includes(to), `${held}: ${from} to ${to}`);
      }
  },
);

t.test('S10 everybody may leave, and nobody raises themselves', async (t) => {
  for (const held of roles) {
    const may = (to: Role | undefined) =>
      decide(user, { kind: 'role', held, isSelf: true, from: held, to }).allowed;
    t.ok(may(undefined), `${held} leaves`);
    if (held !== 'owner') t.notOk(may('owner'), `${held} to owner`);
  }
  t.notOk(
    decide(user, { kind: 'role', held: undefined, isSelf: true, from: undefined, to: 'member' })
      .allowed,
  );
});

t.test('S10 a grant is given and taken by those above it, up to their own right', async (t) => {
  const by =
    (right: Right | undefined, who: Standing = user) =>
    (from: Right, to: Right) => {
      const on = { ...stranger, grants: right === undefined ? [] : [grant(right)] };
      return decide(who, { kind: 'grant', on, from, to }).allowed;
    };
  const admin = by('admin');
  for (const to of ['none', 'read', 'write', 'admin'] as const) {
    t.ok(admin('none', to), `admin gives ${to}`);
    t.ok(admin('write', to), `admin turns write into ${to}`);
    t.equal(admin('admin', to), to === 'admin', `admin turns an admin's grant into ${to}`);
    t.ok(by(undefined, siteAdmin)('admin', to), `site admin turns admin into ${to}`);
    t.ok(by(undefined, operator)('admin', to), `operator turns admin into ${to}`);
    for (const right of [undefined, 'read', 'write'] as const)
      t.notOk(by(right)('none', to), `${right} gives ${to}`);
  }
  t.notOk(admin('none', 'owner'), 'above their own');
});

t.test(
  'S19 what a server may do on a repository: its role, the link, and where it was born',
  async (t) => {
    const rightOf = (peer: NonNullable<RepoStanding['peer']>, more: Partial<RepoStanding> = {}) =>
      decide(server, { kind: 'repo', right: 'read', on: { ...stranger, ...more, peer } }).right;
    const rows: [PeerRole, linked: boolean, bornThere: boolean, string][] = [
      ['main', false, false, 'none'],
      ['main', true, false, 'read'],
      ['main', true, true, 'write'],
      ['backup', false, false, 'read'],
      ['backup', true, false, 'read'],
      ['dev', false, false, 'none'],
      ['dev', true, false, 'write'],
      ['neighbor', false, false, 'none'],
      ['neighbor', true, false, 'write'],
    ];
    for (const [role, linked, bornThere, right] of rows)
      t.equal(rightOf({ role, linked, bornThere }), right, `${role} ${linked} ${bornThere}`);
    const grants = [{ right: 'admin', via: 'a grant' }] as const;
    t.equal(rightOf({ role: 'dev', linked: false, bornThere: false }, { grants }), 'admin');
    t.equal(rightOf({ role: 'main', linked: false, bornThere: false }, { grants }), 'read');
    t.equal(
      rightOf({ role: 'dev', linked: false, bornThere: false }, { visibility: 'internal' }),
      'none',
    );
  },
);

t.test('a mirror is written by its main alone, and read as ever', async (t) => {
  const on = { ...stranger, mirrorOf: 'hq' };
  for (const who of [operator, siteAdmin]) {
    t.match(decide(who, { kind: 'repo', right: 'write', on }), {
      allowed: false,
      why: /mirror of hq/,
    });
    t.match(decide(who, { kind: 'repo', right: 'read', on }), { allowed: true });
  }
  const peer = { role: 'main', linked: true, bornThere: true } as const;
  t.ok(decide(server, { kind: 'repo', right: 'write', on: { ...on, peer } }).allowed);
});

t.test('S9 who is no site admin carries a repository over a link alone', async (t) => {
  const may = (who: Standing, right: 'read' | 'write', held: Right, linked: boolean) =>
    decide(who, { kind: 'carry', right, held, linked }).allowed;
  t.ok(may(operator, 'write', 'owner', false) && may(siteAdmin, 'write', 'owner', false));
  t.notOk(may(user, 'read', 'write', false));
  t.ok(may(user, 'write', 'write', true));
  t.notOk(may(user, 'write', 'read', true));
});
