import { refsDigest } from '../../model/sync-refs.ts';
import type { Difference, Published } from '../../store/likeness.ts';
import type { After, Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { mirrorOf } from './log-objects.ts';
import { visibleRefs } from './snapshot.ts';
import { wishName } from './wish-name.ts';

/** Where the next page of what a main shows begins; null at the end. */
export type ShownFrom = { readonly subject: string } | { readonly repo: After } | null;

/** A page of what a main is, for a backup to be compared with. */
export interface Shown {
  readonly subjects: readonly Published[];
  readonly repos: readonly ShownRepo[];
  readonly next: ShownFrom;
}

interface ShownRepo {
  readonly id: string;
  readonly name: string;
  /** Of the list of its refs, as it is on the disk. */
  readonly refs: string;
  /** Of all that they went through. */
  readonly history: string;
}

/** What a comparison came to. */
export interface Compared {
  /** How many repositories were looked at. */
  readonly repos: number;
  readonly differences: readonly Difference[];
}

const pageSubjects = 200;
const pageRepos = 200;
const mostWishes = 10_000;

/** A page of what this server is. Its log was published before. */
export async function showPage(core: Core, from: ShownFrom): Promise<Shown> {
  const { store } = core;
  if (from === null || 'subject' in from) {
    const subjects = await store.likeness.page(from?.subject ?? '', pageSubjects);
    const last = subjects.at(-1);
    const more = last !== undefined && subjects.length === pageSubjects;
    const next = more ? { subject: last.subject } : { repo: { namespace: '', name: '' } };
    return { subjects, repos: [], next };
  }
  const page = await store.repositories.page(
    { kind: 'all' },
    { after: from.repo, limit: pageRepos },
  );
  const repos: ShownRepo[] = [];
  for (const repo of page) {
    if ((await store.serverLinks.mainOf(repo.id)) !== undefined) continue;
    repos.push({ id: repo.id, name: repo.fullName, ...(await sumsOf(core, repo)) });
  }
  const last = page.at(-1);
  const next = last === undefined ? null : { repo: { namespace: last.namespace, name: last.name } };
  return { subjects: [], repos, next };
}

async function sumsOf(
  { store, repos }: Core,
  repo: Repository,
): Promise<Pick<ShownRepo, 'refs' | 'history'>> {
  const refs = refsDigest(await visibleRefs(repos.directory(repo)));
  return { refs, history: await store.likeness.history(repo.id) };
}

/** Compares a page of what a main shows with what is here. */
export async function comparePage(core: Core, server: Server, shown: Shown): Promise<Compared> {
  const { store } = core;
  const followed = await store.following.of(server.id);
  const identities = followed?.identities === true;
  const differences = [
    ...(await store.likeness.differences(server.id, shown.subjects, { identities })),
  ];
  for (const each of shown.repos) {
    const link = await store.serverLinks.byRemote(server.id, each.id);
    const repo = link?.bornThere ? await store.repositories.byId(link.repoId) : undefined;
    if (repo === undefined) {
      differences.push({ kind: 'repo', name: each.name, why: 'is no mirror here' });
      continue;
    }
    const here = await sumsOf(core, repo);
    const about = { name: repo.fullName };
    if (here.refs !== each.refs) {
      differences.push({ kind: 'refs', ...about, why: 'has other refs here' });
    }
    if (here.history !== each.history) {
      differences.push({ kind: 'history', ...about, why: 'has another history here' });
    }
  }
  return { repos: shown.repos.length, differences };
}

/** What is known to be missing here, before anything is compared. */
export async function knownGaps(core: Core, server: Server): Promise<readonly Difference[]> {
  const { store } = core;
  const followed = await store.following.of(server.id);
  const gap = (name: string, why: string): Difference => ({ kind: 'log', name, why });
  if (followed === undefined || server.role !== 'main') {
    return [gap(server.name, 'its change log is not followed')];
  }
  if (followed.error !== undefined) return [gap(server.name, followed.error)];
  const gaps = followed.identities ? [] : [gap(server.name, 'users and rights are not followed')];
  for (const wish of await store.wishes.of(server.id, mostWishes)) {
    const [kind, id = ''] = wish.subject.split(':');
    // Whether the repository should be there is seen by itself.
    const isIdle = kind === 'objects' && (await mirrorOf(core, server, id)) === undefined;
    if (isIdle) continue;
    gaps.push(gap(await wishName(core, server, wish), 'waits to be carried out'));
  }
  return gaps;
}
