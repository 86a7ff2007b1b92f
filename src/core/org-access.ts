import { UserError } from '../model/errors.ts';
import { askerText, type Principal } from '../model/principal.ts';
import { decide, type Need, type RepoStanding, type Role, type Standing } from '../model/right.ts';
import type { Org } from '../store/orgs.ts';
import type { Store } from '../store/store.ts';
import type { Ask, Granted } from './ask.ts';
import type { Lookup } from './lookup.ts';
import { changedRight } from './rights-on.ts';

type OrgAsk = Extract<Ask, { need: 'org' | 'role' | 'org-grant' }>;

interface Asker {
  readonly principal: Principal;
  readonly standing: Standing;
}

/** What a need about an organization comes to. @throws UserError `denied`, `not_found` */
export async function authorizeOrg(
  { store, lookup }: { store: Store; lookup: Lookup },
  asker: Asker,
  ask: OrgAsk,
): Promise<Granted> {
  const org = await lookup.org(ask.org);
  const { principal } = asker;
  const held = principal.kind === 'user' ? await store.orgs.role(org.id, principal.id) : undefined;
  switch (ask.need) {
    case 'org':
      return withRole(asker, { org, held, role: ask.role });
    case 'role': {
      const user = await lookup.user(ask.user);
      const from = await store.orgs.role(org.id, user.id);
      return changingRole(asker, { org, held, user, from, to: ask.to });
    }
    default: {
      const who = await lookup.grantee(ask.who);
      const from = await store.access.granted(org.id, who.id);
      const has = await changedRight({ from, to: ask.to }, async () => {
        const role = who.kind === 'user' ? await store.orgs.role(org.id, who.id) : undefined;
        return role === undefined || role === 'member' ? 'none' : role;
      });
      return granting(asker, { org, held, who, from, has, to: ask.to });
    }
  }
}

interface Held {
  readonly org: Org;
  /** The asker's own role. */
  readonly held: Role | undefined;
}

function withRole(
  { principal, standing }: Asker,
  { org, held, role }: Held & { role: Role | undefined },
): Granted {
  const need: Need = role === undefined ? { kind: 'account' } : { kind: 'org', role, held };
  const decision = decide(standing, need);
  if (decision.allowed) return { standing, decision, org };
  throw new UserError(
    'denied',
    `${org.name}: it takes the role ${role ?? 'member'} (${askerText(principal)})`,
  );
}

function changingRole(
  { principal, standing }: Asker,
  change: Held & {
    user: NonNullable<Granted['user']>;
    from: Role | undefined;
    to: Role | undefined;
  },
): Granted {
  const { org, held, user, from, to } = change;
  const isSelf = principal.kind === 'user' && principal.id === user.id;
  const decision = decide(standing, { kind: 'role', held, isSelf, from, to });
  if (decision.allowed) return { standing, decision, org, user, from };
  throw new UserError(
    'denied',
    `${org.name}: your role there is ${held ?? 'none'}: you may not change ${user.name} from ${from ?? 'none'} to ${to ?? 'none'}`,
    { hint: `ask an owner of ${org.name}` },
  );
}

function granting(
  { standing }: Asker,
  change: Held & {
    who: NonNullable<Granted['who']>;
    from: Extract<Need, { kind: 'grant' }>['from'];
    /** What the other has that the change is measured by. */
    has: Extract<Need, { kind: 'grant' }>['from'];
    to: Extract<Need, { kind: 'grant' }>['to'];
  },
): Granted {
  const { org, held, who, from, has, to } = change;
  // A role in an org is that right on each of its repositories, but a member's is no right to the org itself.
  const on: RepoStanding = {
    visibility: 'private',
    archived: false,
    ownNamespace: false,
    orgRole: held,
    orgName: org.name,
    memberRight: 'none',
    grants: [],
  };
  const decision = decide(standing, { kind: 'grant', on, from: has, to });
  if (decision.allowed) return { standing, decision, org, who, from };
  throw new UserError(
    'denied',
    `${org.name}: ${who.text} has ${has}, and you have ${decision.right}: only a right below your own is yours to change`,
    { hint: `ask an owner of ${org.name}` },
  );
}
