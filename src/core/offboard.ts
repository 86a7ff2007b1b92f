import { UserError } from '../model/errors.ts';
import type { Actor } from '../store/changes.ts';
import type { Namespace } from '../store/names.ts';
import type { Repository } from '../store/repositories.ts';
import type { User } from '../store/users.ts';
import type { Core } from './core.ts';

const pageRows = 500;

/** Who gets what a leaver had: a user, or an org, which can't own another one. */
export interface Heir {
  readonly namespace: Namespace;
  /** Where it is a user. */
  readonly user: User | undefined;
}

/** What offboarding did. */
export interface Offboarded {
  readonly disabled: boolean;
  readonly repositories: readonly { readonly from: string; readonly to: string }[];
  /** The names of the orgs that would have had no owner. */
  readonly orgs: readonly string[];
}

type Parts = Pick<Core, 'store' | 'repos' | 'renames' | 'sessions' | 'sizes'>;

/**
 * Ends a user's access at once, then hands over what hangs on the account: the orgs that would be without an owner, and
 * with an heir the repositories of the namespace, one after the other. Done again, it carries on where it was cut off.
 *
 * @throws UserError `conflict` before anything is done, when an org would be left without an owner, or the heir has a
 *   repository of the same name
 */
export async function offboard(
  parts: Parts,
  { user, heir }: { user: User; heir: Heir | undefined },
  by: Actor,
): Promise<Offboarded> {
  const { store, sessions } = parts;
  const owned = await repositoriesOf(parts, user);
  if (heir !== undefined) await refuseClashes(parts, owned, heir.namespace);
  const { disabled, orgs } = await store.users.offboard(user, heir?.user, by);
  if (!by.dryRun) {
    sessions.endUser(user.id, new UserError('denied', `the account ${user.name} is disabled`));
  }
  const repositories = [];
  if (heir !== undefined) {
    for (const repo of owned) {
      repositories.push(await handOver(parts, { repo, to: heir.namespace }, by));
    }
  }
  return { disabled, repositories, orgs };
}

async function repositoriesOf({ store }: Parts, { id }: User): Promise<readonly Repository[]> {
  const all: Repository[] = [];
  for (;;) {
    const { namespace = '', name = '' } = all.at(-1) ?? {};
    const page = await store.repositories.page(
      { kind: 'all' },
      { after: { namespace, name }, limit: pageRows, namespaceId: id },
    );
    if (page.length === 0) return all;
    all.push(...page);
  }
}

/** The names that the repositories would have are looked at before the first of them is moved. */
async function refuseClashes(
  { store }: Parts,
  owned: readonly Repository[],
  { ownerId, name: namespace }: Namespace,
): Promise<void> {
  const clashes: string[] = [];
  for (const { name } of owned) {
    if ((await store.repositories.byName(ownerId, name)) !== undefined) clashes.push(name);
  }
  if (clashes.length === 0) return;
  throw new UserError(
    'conflict',
    `${namespace} has repositories of the same name: ${clashes.join(', ')}`,
    { hint: 'rename them first, with: repo rename REPO NEW' },
  );
}

async function handOver(
  { store, repos, renames, sizes }: Parts,
  { repo, to }: { repo: Repository; to: Namespace },
  by: Actor,
): Promise<{ from: string; to: string }> {
  const { name } = repo;
  const fullName = `${to.name}/${name}` as const;
  const leads = await store.paths.at({ namespaceId: to.ownerId, name, text: fullName });
  await renames.repository(
    repo,
    { namespace: to, name, retakes: leads.map((lead) => lead.repo.id) },
    by,
  );
  if (!by.dryRun) sizes.changed(repo, repos.directory({ fullName }));
  return { from: repo.fullName, to: fullName };
}
