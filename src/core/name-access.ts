import { UserError } from '../model/errors.ts';
import { askerText, type Principal } from '../model/principal.ts';
import { nameFault, parseRepoName, type RepoPath } from '../model/repo.ts';
import { decide, reaches, type Standing } from '../model/right.ts';
import type { Namespace } from '../store/names.ts';
import type { Repository } from '../store/repositories.ts';
import { notFree } from '../store/retake.ts';
import type { Store } from '../store/store.ts';
import type { AccessControl } from './access.ts';
import type { Ask, Granted } from './ask.ts';
import type { Lookup } from './lookup.ts';

type NameAsk = Extract<Ask, { need: 'create' | 'rename' | 'alias' | 'alias-of' }>;

interface Parts {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly access: AccessControl;
}

interface Asker {
  readonly principal: Principal;
  readonly standing: Standing;
}

/** What a need about names of repositories comes to. @throws UserError `denied`, `not_found`, `conflict` (S6) */
export async function authorizeName(parts: Parts, asker: Asker, ask: NameAsk): Promise<Granted> {
  switch (ask.need) {
    case 'create':
      return creating(parts, asker, ask.path);
    case 'rename':
      return renaming(parts, asker, ask);
    case 'alias':
      return aliasing(parts, asker, ask);
    default:
      return ofAlias(parts, asker, ask.alias);
  }
}

async function creating(parts: Parts, asker: Asker, path: RepoPath): Promise<Granted> {
  const { store, lookup } = parts;
  const { principal, standing } = asker;
  // What is no repository's name is told so.
  if (path.alias !== undefined) parseRepoName(path.alias);
  const name = path.namespace ?? (await lookup.ownNamespace(principal));
  const namespace = await store.names.find(name);
  if (namespace === undefined) throw await noNamespace(store, name, path.name);
  const isUser = principal.kind === 'user';
  const orgRole = isUser ? await store.orgs.role(namespace.ownerId, principal.id) : undefined;
  const ownNamespace = isUser && namespace.ownerId === principal.id;
  const decision = decide(standing, { kind: 'create', ownNamespace, orgRole });
  if (decision.allowed) {
    const retakes = await retakesAt(parts, asker, {
      namespaceId: namespace.ownerId,
      name: path.name,
      text: `${namespace.name}/${path.name}`,
    });
    return { standing, decision, namespace, retakes };
  }
  const hint =
    namespace.kind === 'org'
      ? `ask an owner of ${name}: org member role ${name} USER admin`
      : 'leave the namespace out to create it in your own';
  throw new UserError(
    'denied',
    `${name}: you may not create repositories there (${askerText(principal)})`,
    { hint },
  );
}

async function noNamespace(store: Store, name: string, repo: string): Promise<UserError> {
  const now = (await store.names.given(name))?.now;
  if (now !== undefined) {
    return new UserError('denied', `${name} is called ${now} now`, {
      hint: `nothing new comes under the old name: take ${now}/${repo}`,
    });
  }
  return new UserError('not_found', `${name}: no such user or organization`, {
    hint: `create the organization first: org create ${name}`,
  });
}

/** What the name of a repository in the trash leads to, where it is to have it back. @throws UserError `conflict` (S6) */
export async function retakesOf(
  parts: Parts,
  asker: Asker,
  { namespaceId, name, fullName: text }: Repository,
): Promise<readonly string[]> {
  return retakesAt(parts, asker, { namespaceId, name, text });
}

/**
 * The ids of the repositories that a path leads to, which cease to be reached by it when it gets another meaning: that
 * takes admin on each of them.
 *
 * @throws UserError `conflict`
 */
async function retakesAt(
  { store, access }: Parts,
  { principal, standing }: Asker,
  path: { namespaceId: string; name: string; text: string },
): Promise<readonly string[]> {
  const retakes: string[] = [];
  for (const { how, repo } of await store.paths.at(path)) {
    if (how === 'name') continue;
    const { right } = await access.rightOn(principal, standing, repo);
    if (!reaches(right, 'admin')) throw notFree(path.text);
    retakes.push(repo.id);
  }
  return retakes;
}

async function renaming(
  parts: Parts,
  asker: Asker,
  { path, to }: Extract<Ask, { need: 'rename' }>,
): Promise<Granted> {
  const { access } = parts;
  const { principal } = asker;
  const found = await access.authorize(principal, { need: 'repo', path, right: 'admin' });
  const { repo } = found;
  if (repo === undefined) throw new Error('a repository was decided on and is not there');
  if (to.namespace === undefined || to.namespace === repo.namespace) {
    return { ...found, ...(await within(parts, asker, { repo, name: to.name })) };
  }
  // Out of its namespace only an owner takes it, and into another only who may create there (S10).
  await access.authorize(principal, { need: 'repo', path, right: 'owner' });
  const target = await access.authorize(principal, { need: 'create', path: to });
  return { ...target, ...found };
}

/** Another name in the same namespace. */
async function within(
  parts: Parts,
  asker: Asker,
  { repo, name }: { repo: Repository; name: string },
): Promise<Pick<Granted, 'namespace' | 'retakes'>> {
  const { namespaceId, namespaceKind: kind, namespace } = repo;
  const place: Namespace = { name: namespace, kind, ownerId: namespaceId };
  const text = `${namespace}/${name}`;
  return { namespace: place, retakes: await retakesAt(parts, asker, { namespaceId, name, text }) };
}

/**
 * An alias that could be the name of a repository takes that name from those who may create one: it takes their right.
 * What no repository can be called is free to the admins of every repository.
 */
async function aliasing(
  parts: Parts,
  asker: Asker,
  { alias, path }: Extract<Ask, { need: 'alias' }>,
): Promise<Granted> {
  const { store, access } = parts;
  const { principal, standing } = asker;
  const found = await access.authorize(principal, { need: 'repo', path, right: 'admin' });
  const [namespace = '', name, ...deeper] = alias.split('/');
  const isName = deeper.length === 0 && nameFault(namespace) === undefined;
  const isPlace = isName && name !== undefined && nameFault(name) === undefined;
  if (isPlace && (await store.names.find(namespace)) !== undefined) {
    const place = await access.authorize(principal, { need: 'create', path: { namespace, name } });
    return { ...place, ...found };
  }
  if (isPlace || (isName && name === undefined)) {
    const decision = decide(standing, { kind: 'site-admin' });
    if (!decision.allowed) throw othersMeanIt(alias);
  }
  const retakes = await retakesAt(parts, asker, { namespaceId: '', name: '', text: alias });
  return { ...found, retakes };
}

function othersMeanIt(alias: string): UserError {
  return new UserError('denied', `${alias}: only a site admin may give this path a meaning`, {
    hint: 'it could be the name of a repository, and of whose is not said yet',
  });
}

async function ofAlias(
  { store, access }: Parts,
  { principal, standing }: Asker,
  path: string,
): Promise<Granted> {
  const alias = await store.aliases.find(path);
  const repo = alias && (await store.repositories.byId(alias.repoId));
  const decision = repo && (await access.rightOn(principal, standing, repo));
  if (repo === undefined || decision === undefined || !reaches(decision.right, 'read')) {
    throw new UserError(
      'not_found',
      `${path}: no such alias, or not yours to see (${askerText(principal)})`,
      { hint: 'see those of a repository with: repo alias list REPO', aboutId: repo?.id },
    );
  }
  return access.authorize(principal, {
    need: 'repo',
    path: { namespace: repo.namespace, name: repo.name },
    right: 'admin',
  });
}
