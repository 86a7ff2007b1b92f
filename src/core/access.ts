import { noSuchRepository, UserError } from '../model/errors.ts';
import { askerText, type Principal } from '../model/principal.ts';
import { noSuchAlias, repoPathText } from '../model/repo.ts';
import {
  type Decision,
  decide,
  type Need,
  type RepoStanding,
  type Right,
  reaches,
  type Standing,
} from '../model/right.ts';
import type { Grantee } from '../store/access.ts';
import type { Holdings } from '../store/holdings.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { User } from '../store/users.ts';
import type { Ask, Granted } from './ask.ts';
import { authorizeKey, faultOf, keyFault, refuseCommand } from './key-access.ts';
import type { Lookup } from './lookup.ts';
import { authorizeName, retakesOf } from './name-access.ts';
import { calledOtherwise } from './namespaces.ts';
import { authorizeOrg } from './org-access.ts';
import { authorizeCarry, peerStanding } from './peer-access.ts';
import { type Bearing, changedRight, standingOn } from './rights-on.ts';
import { tooLittle } from './too-little.ts';
import { authorizeTrashed } from './trash-access.ts';
import { authorizeUndo } from './undo-access.ts';

/** Looked at where a repository is missing, so that the time of an answer does not tell it from a hidden one. */
const nothingThere: Bearing = { id: '', namespaceId: '', visibility: 'private', archived: false };

/** May this principal do this, and why? It loads what `model/right.ts` decides on, anew for every question. */
export class AccessControl {
  readonly #store: Store;
  readonly #lookup: Lookup;
  readonly #orgCreate: () => 'users' | 'admins';

  /** @param orgCreate - who may create organizations, of the configuration */
  constructor(store: Store, lookup: Lookup, orgCreate: () => 'users' | 'admins') {
    this.#store = store;
    this.#lookup = lookup;
    this.#orgCreate = orgCreate;
  }

  /** Who this is at this moment (S2): key and user as the store has them now. */
  async standing(principal: Principal): Promise<Standing> {
    const { kind } = principal;
    if (kind !== 'user') {
      return { kind, ended: await faultOf(this.#store, principal), siteAdmin: false };
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

  /** A user by the name of this moment: one who was renamed may have signed in before. */
  async named(principal: Principal): Promise<Principal> {
    if (principal.kind !== 'user') return principal;
    const user = await this.#store.users.byId(principal.id);
    return user === undefined ? principal : { ...principal, name: user.name };
  }

  /**
   * Looks up what is asked for and decides.
   *
   * @throws UserError `denied`; `not_found` where the principal may not even know
   */
  async authorize(principal: Principal, ask: Ask): Promise<Granted> {
    const standing = await this.standing(principal);
    if (standing.ended !== undefined) throw new UserError('denied', standing.ended);
    // Decided before anything is looked up: a deploy key learns nothing of what it may not ask.
    const asksForGit = ask.need === 'repo' && ask.through === 'git';
    const asksLittle = ask.need === 'signed-in' || ask.need === 'join';
    if (!asksLittle && !asksForGit) refuseCommand(principal, standing);
    switch (ask.need) {
      case 'repo':
        if (ask.operatorAlone === true) this.#site(standing, { kind: 'operator' }, 'do this');
        return this.#repo(principal, standing, ask);
      case 'repos':
        return this.#repos(principal, standing, ask);
      case 'create':
      case 'rename':
      case 'alias':
      case 'alias-of': {
        const parts = { store: this.#store, lookup: this.#lookup, access: this };
        return authorizeName(parts, { principal, standing }, ask);
      }
      case 'trashed': {
        const asker = { principal, standing };
        const lookup = this.#lookup;
        const parts = { store: this.#store, lookup, access: this };
        return authorizeTrashed(
          {
            lookup,
            rightOn: (repo) => this.rightOn(principal, standing, repo),
            retakes: (repo) => retakesOf(parts, asker, repo),
          },
          asker,
          ask,
        );
      }
      case 'carry':
        return authorizeCarry({ store: this.#store, access: this }, { principal, standing }, ask);
      case 'grant':
        return this.#grant(principal, standing, ask);
      case 'undo': {
        const write = { path: ask.path, right: 'write' } as const;
        const granted = await this.#repo(principal, standing, write);
        return authorizeUndo(this.#store, principal, granted, ask);
      }
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
      case 'bind':
        return authorizeKey({ store: this.#store, access: this }, { principal, standing }, ask);
      case 'org-create': {
        const kind = this.#orgCreate() === 'users' ? 'account' : 'site-admin';
        return this.#site(standing, { kind }, 'create organizations');
      }
      default:
        return this.#site(standing, { kind: ask.need }, 'do this');
    }
  }

  /** The right that a principal in good standing has on a repository, for lists. */
  async rightOn(principal: Principal, standing: Standing, repo: Bearing): Promise<Decision> {
    const on = await this.#standingOn(principal, repo);
    return decide(standing, { kind: 'repo', right: 'read', on });
  }

  async #standingOn(principal: Principal, repo: Bearing): Promise<RepoStanding> {
    const peer = await peerStanding(this.#store, principal, repo);
    return { ...standingOn(principal, repo, await this.#holdings(principal, repo)), ...peer };
  }

  async #holdings(principal: Principal, repo: Bearing): Promise<Holdings> {
    if (principal.kind === 'user') return this.#store.access.holdings(principal.id, repo);
    const isKey = principal.kind === 'deploy-key';
    const grants = isKey ? await this.#store.deployKeys.grantsOn(principal.keyId, repo) : [];
    return { orgRole: undefined, orgName: undefined, memberRight: 'none', grants };
  }

  async #repo(
    principal: Principal,
    standing: Standing,
    { path, right, alive }: Omit<Extract<Ask, { need: 'repo' }>, 'need'>,
  ): Promise<Granted> {
    const leads = await this.#lookup.leads(principal, path);
    for (const { how, repo } of leads) {
      const on = await this.#standingOn(principal, repo);
      const decision = decide(standing, { kind: 'repo', right, on, alive });
      if (!decision.allowed && !reaches(decision.right, 'read')) continue;
      if (!decision.allowed)
        throw await tooLittle(this.#store, { principal, repo }, decision, right);
      const before = how === 'old-name' ? { calledBefore: repoPathText(path) } : {};
      return { standing, decision, repo, ...before };
    }
    if (leads.length === 0) await this.#standingOn(principal, nothingThere);
    const aboutId = leads[0]?.repo.id;
    if (path.alias !== undefined) throw noSuchAlias(path.alias, aboutId);
    throw noSuchRepository(repoPathText(path), askerText(principal), aboutId);
  }

  async #repos(
    principal: Principal,
    standing: Standing,
    { paths, right }: Extract<Ask, { need: 'repos' }>,
  ): Promise<Granted> {
    const found = new Map<string, Repository>();
    for (const path of paths) {
      const { repo, calledBefore } = await this.#repo(principal, standing, { path, right });
      if (repo !== undefined && calledBefore !== undefined) {
        throw calledOtherwise(calledBefore, repo.fullName);
      }
      if (repo !== undefined) found.set(repo.id, repo);
    }
    return { ...this.#site(standing, { kind: 'command' }, 'do this'), repos: [...found.values()] };
  }

  async #grant(
    principal: Principal,
    standing: Standing,
    ask: Extract<Ask, { need: 'grant' }>,
  ): Promise<Granted> {
    const { repo, ...found } = await this.#repo(principal, standing, {
      path: ask.path,
      right: 'admin',
    });
    if (repo === undefined) throw new Error('a repository was decided on and is not there');
    const who = await this.#lookup.grantee(ask.who);
    const from = await this.#store.access.granted(repo.id, who.id);
    const on = await this.#standingOn(principal, repo);
    const held = await changedRight({ from, to: ask.to }, () => this.#heldBy(who, repo));
    const decision = decide(standing, { kind: 'grant', on, from: held, to: ask.to });
    if (decision.allowed) return { ...found, decision, repo, who, from };
    throw new UserError(
      'denied',
      `${repo.fullName}: ${who.text} has ${held}, and you have ${decision.right}: only a right below your own is yours to change`,
      { hint: 'ask an owner of the repository' },
    );
  }

  async #heldBy({ kind, id }: Grantee, repo: Bearing): Promise<Right> {
    const user = kind === 'user' ? await this.#store.users.byId(id) : undefined;
    return user === undefined ? 'none' : (await this.rightOf(user, repo)).right;
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
      await this.#repo(principal, standing, { path: ask.path, right });
    }
    const user = await this.#lookup.user(ask.user);
    const asked = { standing, decision: decide(standing, { kind: 'signed-in' }), user };
    const leads = await this.#lookup.leads(asUser(user), ask.path);
    for (const { repo } of leads) {
      if (reaches((await this.rightOf(user, repo)).right, 'read')) return { ...asked, repo };
    }
    const [first] = leads;
    return first === undefined ? asked : { ...asked, repo: first.repo };
  }

  /** The right of a user, by name and not by key, on a repository; a disabled one has none. */
  async rightOf(user: User, repo: Bearing): Promise<Decision> {
    return this.rightOn(asUser(user), standingOf(user), repo);
  }

  #site(standing: Standing, need: Need, what: string): Granted {
    const decision = decide(standing, need);
    if (decision.allowed) return { standing, decision };
    const who: Readonly<Record<string, string>> = {
      'site-admin': 'a site admin',
      operator: 'the operator, on the machine itself,',
      peer: 'another server',
      join: 'a server that was invited',
    };
    throw new UserError('denied', `only ${who[need.kind] ?? 'a user'} may ${what}`);
  }
}

/** A user as a principal that signed nothing: to ask about, never to act as. */
export function asUser({ id, name }: User): Principal {
  return { kind: 'user', id, name, keyId: '', fingerprint: '' };
}

/** The standing of a user, by name and not by key. */
export function standingOf({ name, state, admin }: User): Standing {
  const ended = state === 'active' ? undefined : `the account ${name} is disabled`;
  return { kind: 'user', ended, siteAdmin: admin };
}
