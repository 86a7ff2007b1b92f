import { UserError } from '../model/errors.ts';
import type { Principal } from '../model/principal.ts';
import { type RepoPath, repoPathText } from '../model/repo.ts';
import type { Grantee } from '../store/access.ts';
import type { Org } from '../store/orgs.ts';
import { type Lead, waysTo } from '../store/paths.ts';
import type { Store } from '../store/store.ts';
import type { TrashedRepository } from '../store/trash.ts';
import type { User } from '../store/users.ts';

const oldName = 'old-name' as const;

/** What names mean to whom; says nothing of rights. Names of users and orgs are no secret. */
export class Lookup {
  readonly #store: Store;
  readonly #defaultNamespace: () => string;

  /** @param defaultNamespace - of the configuration; empty for the first site admin's name */
  constructor(store: Store, defaultNamespace: () => string) {
    this.#store = store;
    this.#defaultNamespace = defaultNamespace;
  }

  /**
   * The repositories that a path may mean to this principal, whether or not it may see them: the first that it may see
   * is meant. In each namespace one that is called so comes before an alias, and that before one that was called so.
   */
  async leads(principal: Principal, path: RepoPath): Promise<readonly Lead[]> {
    const leads: Lead[] = [];
    const namespaces = await this.#namespaces(principal, path);
    for (const [nth, namespace] of namespaces.entries()) {
      const isLast = nth === namespaces.length - 1;
      const found = await this.#leadsIn(namespace, path);
      // An alias has no namespace: it comes behind the repositories of all.
      leads.push(...found.filter(({ how }) => isLast || how !== 'alias'));
      if (leads.some(({ how }) => how === 'name')) break;
    }
    return leads;
  }

  async #leadsIn(namespace: string, path: RepoPath): Promise<readonly Lead[]> {
    const given = await this.#store.names.given(namespace);
    const { name } = path;
    const at = { namespaceId: given?.ownerId ?? '', name, text: repoPathText(path) };
    const leads = await this.#store.paths.at(at);
    if (given?.now === namespace) return leads;
    const renamed = leads.map((lead) => (lead.how === 'name' ? { ...lead, how: oldName } : lead));
    return renamed.sort((a, b) => waysTo.indexOf(a.how) - waysTo.indexOf(b.how));
  }

  /** The repositories in the trash that a path means to this principal, the last deleted first. */
  async findTrashed(principal: Principal, path: RepoPath): Promise<readonly TrashedRepository[]> {
    for (const name of await this.#namespaces(principal, path)) {
      const namespace = await this.#store.names.find(name);
      if (namespace === undefined) continue;
      const found = await this.#store.trash.named(namespace.ownerId, path.name);
      if (found.length > 0) return found;
    }
    return [];
  }

  /** The namespace that a bare name means when something is created: the principal's own; the operator's default. */
  async ownNamespace(principal: Principal): Promise<string> {
    if (principal.kind === 'user') return principal.name;
    const named = this.#defaultNamespace();
    if (named !== '') return named;
    return (await this.#store.users.firstAdmin())?.name ?? '';
  }

  async #namespaces(
    principal: Principal,
    { namespace, alias }: RepoPath,
  ): Promise<readonly string[]> {
    // No namespace is called so.
    if (alias !== undefined) return [''];
    if (namespace !== undefined) return [namespace];
    const own = await this.ownNamespace(principal);
    return [...new Set([own, await this.ownNamespace({ kind: 'operator' })])];
  }

  /** @throws UserError `not_found` */
  async grantee(who: string): Promise<Grantee> {
    const [, fingerprint] = /^key:(.*)$/.exec(who) ?? [];
    if (fingerprint !== undefined) return this.#deployKey(fingerprint);
    const [, prefix, name = ''] = /^(?:(org|team|server):)?(.*)$/.exec(who) ?? [];
    if (prefix === 'server') return this.#server(name);
    if (prefix === 'org') {
      const org = await this.org(name);
      return { kind: 'org', id: org.id, text: `org:${org.name}` };
    }
    if (prefix === 'team') {
      const [orgName = '', teamName = ''] = name.split('/');
      const org = await this.org(orgName);
      const team = await this.#store.teams.find(org.id, teamName);
      if (team !== undefined) return { kind: 'team', id: team.id, text: who };
      throw new UserError('not_found', `${who}: no such team`, {
        hint: `see them with: org team list ${orgName}`,
      });
    }
    const user = await this.user(name);
    return { kind: 'user', id: user.id, text: user.name };
  }

  async #server(name: string): Promise<Grantee> {
    const server = await this.#store.servers.byName(name);
    if (server !== undefined) return { kind: 'server', id: server.id, text: `server:${name}` };
    throw new UserError('not_found', `server:${name}: no such server`, {
      hint: 'a site admin sees them with: servers list',
    });
  }

  async #deployKey(fingerprint: string): Promise<Grantee> {
    const keys = await this.#store.keys.withFingerprint(fingerprint);
    const key = keys.find(({ kind, state }) => kind === 'deploy' && state !== 'pending');
    if (key !== undefined) return { kind: 'key', id: key.id, text: `key:${fingerprint}` };
    throw new UserError('not_found', `key:${fingerprint}: no such deploy key`, {
      hint: 'add it with: sshkey add FILE --repo REPO --right read',
    });
  }

  /** @throws UserError `not_found` */
  async user(name: string): Promise<User> {
    const user = await this.#store.users.byName(name);
    if (user !== undefined) return user;
    throw new UserError('not_found', `${name}: no such user`, { hint: 'see them with: user list' });
  }

  /** @throws UserError `not_found` */
  async org(name: string): Promise<Org> {
    const org = await this.#store.orgs.byName(name);
    if (org !== undefined) return org;
    throw new UserError('not_found', `${name}: no such organization`, {
      hint: 'see them with: org list',
    });
  }
}
