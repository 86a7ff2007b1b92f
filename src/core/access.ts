import { noSuchRepository, UserError } from '../model/errors.ts';
import { askerText, type Principal } from '../model/principal.ts';
import { type RepoPath, repoPathText } from '../model/repo.ts';
import {
  type Decision,
  decide,
  type Need,
  type RepoStanding,
  type Right,
  reaches,
  type Standing,
} from '../model/right.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { User } from '../store/users.ts';
import type { Ask, Granted } from './ask.ts';
import { asUser, keyFault } from './identify.ts';
import type { Lookup } from './lookup.ts';
import { authorizeOrg } from './org-access.ts';
import { decideCarry, mirrorRefusal, peerFault, peerStanding } from './peer-access.ts';

/** What of a repository bears on rights to it. */
type Bearing = Pick<Repository, 'id' | 'namespaceId' | 'visibility' | 'archived'>;

/** Looked at where a repository is missing, so that the time of an answer does not tell it from a hidden one. */
const nothingThere: Bearing = { id: '', namespaceId: '', visibility: 'private', archived: false };

/** May this principal do this, and why? It loads what `model/right.ts` decides on, anew for every question. */
export class AccessControl {
  readonly #store: Store;
  readonly #lookup: Lookup;
  readonly #orgCreate: 'users' | 'admins';

  /** @param orgCreate - who may create organizations, of the configuration */
  constructor(store: Store, lookup: Lookup, orgCreate: 'users' | 'admins') {
    this.#store = store;
    this.#lookup = lookup;
    this.#orgCreate = orgCreate;
  }

  /** Who this is at this moment (S2): key and user as the store has them now. */
  async standing(principal: Principal): Promise<Standing> {
    const { kind } = principal;
    if (kind !== 'user') {
      const fault = kind === 'deploy-key' ? 'not in this version' : undefined;
      const ended = kind === 'server' ? await peerFault(this.#store, principal) : fault;
      return { kind, ended, siteAdmin: false };
    }
    const user = await this.#store.users.byId(principal.id);
    const key = await this.#store.keys.byId(principal.keyId);
    if (user === undefined || user.state === 'deleted') {
      return { kind, ended: `${principal.name} is no user here any more`, siteAdmin: false };
    }
    const ended =
      user.state === 'disabled' ? `the account ${user.name} is disabled` : keyFault(key, user.id);
    return { kind, ended, siteAdmin: user.admin };
  }

  /**
   * Looks up what is asked for and decides.
   *
   * @throws UserError `denied`; `not_found` where the principal may not even know
   */
  async authorize(principal: Principal, ask: Ask): Promise<Granted> {
    const standing = await this.standing(principal);
    if (standing.ended !== undefined) throw new UserError('denied', standing.ended);
    switch (ask.need) {
      case 'repo':
        return this.#repo(principal, standing, ask.path, ask.right);
      case 'create':
        return this.#create(principal, standing, ask.path);
      case 'carry':
        return this.#carry(principal, standing, ask);
      case 'grant':
        return this.#grant(principal, standing, ask);
      case 'org':
      case 'role':
      case 'org-grant': {
        const parts = { store: this.#store, lookup: this.#lookup };
        return authorizeOrg(parts, { principal, standing }, ask);
      }
      case 'can':
        return this.#can(principal, standing, ask);
      case 'self':
        return this.#self(principal, standing, ask.user);
      case 'key':
        return this.#key(principal, standing, ask.fingerprint);
      case 'org-create': {
        const kind = this.#orgCreate === 'users' ? 'account' : 'site-admin';
        return this.#site(standing, { kind }, 'create organizations');
      }
      default:
        return this.#site(standing, { kind: ask.need }, 'do this');
    }
  }

  /** The right that a principal in good standing has on a repository, for lists. */
  async rightOn(principal: Principal, standing: Standing, repo: Repository): Promise<Decision> {
    const on = await this.#standingOn(principal, repo);
    return decide(standing, { kind: 'repo', right: 'read', on });
  }

  async #standingOn(principal: Principal, repo: Bearing): Promise<RepoStanding> {
    const nothing = {
      orgRole: undefined,
      orgName: undefined,
      memberRight: 'none',
      grants: [],
    } as const;
    const held =
      principal.kind === 'user' ? await this.#store.access.holdings(principal.id, repo) : nothing;
    const ownNamespace = principal.kind === 'user' && repo.namespaceId === principal.id;
    const peer = await peerStanding(this.#store, principal, repo);
    const { visibility, archived } = repo;
    return { visibility, archived, ownNamespace, ...held, ...peer };
  }

  async #carry(
    principal: Principal,
    standing: Standing,
    ask: Extract<Ask, { need: 'carry' }>,
  ): Promise<Granted> {
    const { repo } = await this.#repo(principal, standing, ask.path, 'read');
    if (repo === undefined) throw new Error('a repository was decided on and is not there');
    const on = await this.#standingOn(principal, repo);
    return decideCarry(this.#store, ask, { principal, standing, repo, on });
  }

  async #repo(
    principal: Principal,
    standing: Standing,
    path: RepoPath,
    right: Right,
  ): Promise<Granted> {
    const repo = await this.#lookup.find(principal, path);
    const hidden = noSuchRepository(repoPathText(path), askerText(principal), repo?.id);
    const on = await this.#standingOn(principal, repo ?? nothingThere);
    if (repo === undefined) throw hidden;
    const decision = decide(standing, { kind: 'repo', right, on });
    if (decision.allowed) return { standing, decision, repo };
    if (!reaches(decision.right, 'read')) throw hidden;
    throw await this.#tooLittle(principal, repo, decision, right);
  }

  async #tooLittle(
    principal: Principal,
    repo: Repository,
    held: Decision,
    right: Right,
  ): Promise<UserError> {
    if (reaches(held.right, right)) {
      const mirror = await mirrorRefusal(this.#store, repo, held.why);
      if (mirror !== undefined) return mirror;
      return new UserError('denied', `${repo.fullName}: ${held.why}, nobody may write to it`, {
        hint: `an admin takes it out of the archive with: repo unarchive ${repo.fullName}`,
        aboutId: repo.id,
      });
    }
    const name = principal.kind === 'user' ? principal.name : principal.kind;
    const rank = right === 'read' || right === 'write' ? right : `act as its ${right}`;
    const verb = { read: 'read it', write: 'read and write it', admin: 'administer it' } as const;
    const may = verb[held.right as keyof typeof verb] ?? 'own it';
    const admins = await this.#store.access.adminsOf(repo);
    const ask = admins.length === 0 ? 'ask its admin' : `ask ${admins.join(' or ')}`;
    const command =
      right === 'owner' ? '' : `: repo access grant ${repo.fullName} ${name} ${right}`;
    return new UserError(
      'denied',
      `${repo.fullName}: you may ${may}, not ${rank} (${name}, ${held.why})`,
      {
        hint: `${ask}${command}`,
        aboutId: repo.id,
      },
    );
  }

  async #create(principal: Principal, standing: Standing, path: RepoPath): Promise<Granted> {
    const name = path.namespace ?? (await this.#lookup.ownNamespace(principal));
    const namespace = await this.#store.names.find(name);
    if (namespace === undefined) {
      throw new UserError('not_found', `${name}: no such user or organization`, {
        hint: `create the organization first: org create ${name}`,
      });
    }
    const isUser = principal.kind === 'user';
    const orgRole = isUser
      ? await this.#store.orgs.role(namespace.ownerId, principal.id)
      : undefined;
    const ownNamespace = isUser && namespace.ownerId === principal.id;
    const decision = decide(standing, { kind: 'create', ownNamespace, orgRole });
    if (decision.allowed) return { standing, decision, namespace };
    const hint =
      namespace.kind === 'org'
        ? `ask an owner of ${name}: org member role ${name} USER admin`
        : 'leave the namespace out to create it in your own';
    throw new UserError(
      'denied',
      `${name}: you may not create repositories there (${askerText(principal)})`,
      {
        hint,
      },
    );
  }

  async #grant(
    principal: Principal,
    standing: Standing,
    ask: Extract<Ask, { need: 'grant' }>,
  ): Promise<Granted> {
    const { repo } = await this.#repo(principal, standing, ask.path, 'admin');
    if (repo === undefined) throw new Error('a repository was decided on and is not there');
    const who = await this.#lookup.grantee(ask.who);
    const from = await this.#store.access.granted(repo.id, who.id);
    const on = await this.#standingOn(principal, repo);
    const decision = decide(standing, { kind: 'grant', on, from, to: ask.to });
    if (decision.allowed) return { standing, decision, repo, who, from };
    throw new UserError(
      'denied',
      `${repo.fullName}: ${who.text} has ${from}, and you have ${decision.right}: only a right below your own is yours to change`,
      { hint: 'ask an owner of the repository' },
    );
  }

  async #self(
    principal: Principal,
    standing: Standing,
    name: string | undefined,
  ): Promise<Granted> {
    const own = principal.kind === 'user' ? principal : undefined;
    if (name === undefined && own === undefined) {
      throw new UserError('usage', 'whose? you are not signed in as a user', {
        hint: 'add --user NAME',
      });
    }
    const isSelf = own !== undefined && (name === undefined || name === own.name);
    const decision = decide(standing, { kind: 'self', isSelf });
    if (!decision.allowed) {
      throw new UserError(
        'denied',
        `only ${name} and a site admin may do this (${askerText(principal)})`,
      );
    }
    const user =
      isSelf && own ? await this.#store.users.byId(own.id) : await this.#lookup.user(name ?? '');
    if (user === undefined) throw new UserError('not_found', `${name}: no such user`);
    return { standing, decision, user };
  }

  /** What a user may do on a repository is for that user, the repository's admins and site admins to know. */
  async #can(
    principal: Principal,
    standing: Standing,
    ask: Extract<Ask, { need: 'can' }>,
  ): Promise<Granted> {
    const isSelf = principal.kind === 'user' && principal.name === ask.user;
    const right = isSelf ? 'none' : 'admin';
    if (!decide(standing, { kind: 'self', isSelf }).allowed) {
      await this.#repo(principal, standing, ask.path, right);
    }
    const user = await this.#lookup.user(ask.user);
    const own: Principal = isSelf ? principal : asUser(user);
    const repo = await this.#lookup.find(own, ask.path);
    const asked = { standing, decision: decide(standing, { kind: 'signed-in' }), user };
    return repo === undefined ? asked : { ...asked, repo };
  }

  /** The right of a user, by name and not by key, on a repository; a disabled one has none. */
  async rightOf(user: User, repo: Repository): Promise<Decision> {
    const ended = user.state === 'active' ? undefined : `the account ${user.name} is disabled`;
    const standing: Standing = { kind: 'user', ended, siteAdmin: user.admin };
    return this.rightOn(asUser(user), standing, repo);
  }

  /** A key of one's own; for the operator and site admins, anybody's. */
  async #key(principal: Principal, standing: Standing, fingerprint: string): Promise<Granted> {
    const { keys, users } = this.#store;
    const own =
      principal.kind === 'user' ? await keys.ofUser(principal.id, fingerprint) : undefined;
    const decision = decide(standing, { kind: 'self', isSelf: own !== undefined });
    const key = own ?? (decision.allowed ? await keys.byFingerprint(fingerprint) : undefined);
    const user = key?.userId === undefined ? undefined : await users.byId(key.userId);
    if (user !== undefined) return { standing, decision, user };
    throw new UserError('not_found', `${fingerprint}: no such key (${askerText(principal)})`, {
      hint: 'see them with: sshkey list',
    });
  }

  #site(standing: Standing, need: Need, what: string): Granted {
    const decision = decide(standing, need);
    if (decision.allowed) return { standing, decision };
    const who: Readonly<Record<string, string>> = {
      'site-admin': 'a site admin',
      operator: 'the operator, on the machine itself,',
      peer: 'another server',
    };
    throw new UserError('denied', `only ${who[need.kind] ?? 'a user'} may ${what}`);
  }
}
