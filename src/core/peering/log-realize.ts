import { UserError } from '../../model/errors.ts';
import type { Actor } from '../../store/changes.ts';
import type { RepoBody } from '../../store/log-bodies.ts';

import type { Namespace } from '../../store/names.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Wish } from '../../store/wishes.ts';
import type { Core } from '../core.ts';
import { purge } from '../purge.ts';
import { namespaceForMirror } from './mirror.ts';

interface Job {
  readonly server: Server;
  readonly by: Actor;
}

/** More than this may be waiting; then the next call carries on. */
const mostWishes = 10_000;

/** So many repositories may go at once without a question, and so large a part of them (replication.md, section 3). */
const unquestioned = 2;
const share = 0.05;

/**
 * Does on the disk what the log of a server said: names, new repositories, deleted ones, purges. What can't be done yet
 * waits for the next time; what was done already is seen to be.
 *
 * @returns why some of it waits
 */
export async function realize(
  core: Core,
  server: Server,
  { by, allowShrink }: { by: Actor; allowShrink: boolean },
): Promise<readonly string[]> {
  const release = await core.locks.exclusive(`log ${server.id}`, `the log of ${server.name}`);
  try {
    const { wishes } = core.store;
    const all = await wishes.of(server.id, mostWishes);
    const brake = allowShrink ? new Set<Wish>() : await tooMany(core, server, all);
    const waiting: string[] = [];
    for (const wish of all.filter(({ subject }) => !subject.startsWith('objects:'))) {
      try {
        if (brake.has(wish)) throw shrinks(server, brake.size);
        await fulfil(core, wish, { server, by });
        await wishes.fulfilled(server.id, wish);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        await wishes.refused(server.id, wish, error.message);
        waiting.push(error.message);
      }
    }
    return [...new Set(waiting)];
  } finally {
    release();
  }
}

/** The deletions of repositories among some wishes, where they are so many that a person should look first. */
async function tooMany(
  { store }: Core,
  server: Server,
  wishes: readonly Wish[],
): Promise<ReadonlySet<Wish>> {
  const gone = new Set<Wish>();
  for (const wish of wishes) {
    const [kind, id = ''] = wish.subject.split(':');
    if (kind !== 'repo' || !isGone(wish)) continue;
    const link = await store.serverLinks.byRemote(server.id, id);
    const repo = link && (await store.repositories.byId(link.repoId));
    if (repo !== undefined) gone.add(wish);
  }
  const all = gone.size > unquestioned ? (await store.serverLinks.listOf(server.id)).length : 0;
  return gone.size > unquestioned && gone.size > all * share ? gone : new Set();
}

function isGone({ body }: Wish): boolean {
  return body === undefined || (JSON.parse(body) as RepoBody).deleted_at !== null;
}

function shrinks({ name }: Server, count: number): UserError {
  return new UserError('conflict', `${name}: ${count} repositories would go at once: held`, {
    hint: `once you know that it is right: servers sync ${name} --allow-shrink`,
  });
}

async function fulfil(core: Core, { subject, body }: Wish, job: Job): Promise<void> {
  const [kind = '', id = '', oid = ''] = subject.split(':');
  const told = body === undefined ? undefined : JSON.parse(body);
  switch (kind) {
    case 'user':
    case 'org':
      return rename(core, { kind, id, name: told.name }, job);
    case 'repo':
      return place(core, { id, body: told }, job);
    case 'purge':
      return purgeHere(core, { id, oid }, job);
    default:
      throw new Error(`${subject} is nothing that can be done`);
  }
}

/** A name that is somebody else's here is not taken: the old one stays. */
async function rename(
  { store, renames }: Core,
  { kind, id, name }: { kind: 'user' | 'org'; id: string; name: string },
  { server, by }: Job,
): Promise<void> {
  const localId = await store.following.localId(server.id, id);
  const now = localId && (await store.names.ofOwner(localId));
  if (localId === undefined || now === undefined || now === name) return;
  const given = await store.names.given(name);
  if (given !== undefined && given.ownerId !== localId) return;
  await renames.owner({ kind, id: localId, name: now }, name, by);
}

/** Puts a repository where the main has it. */
async function place(
  core: Core,
  { id, body }: { id: string; body: RepoBody | undefined },
  job: Job,
): Promise<void> {
  const { store, trash, renames, repos } = core;
  const { server, by } = job;
  const link = await store.serverLinks.byRemote(server.id, id);
  const live = await store.repositories.byId(link?.repoId ?? id);
  const deleted = live === undefined ? await store.trash.byId(link?.repoId ?? id) : undefined;
  if (body === undefined || body.deleted_at !== null) {
    if (live !== undefined) await trash.delete(live, by);
    return;
  }
  if (deleted !== undefined) await trash.restore(deleted, by);
  const namespace = await namespaceOf(core, body, job);
  const { name, default_branch: defaultBranch } = body;
  const repo = live ?? deleted ?? (await make(core, { id, body, namespace }, job));
  if (link?.remoteId === undefined) {
    await store.serverLinks.link(server, repo, { remoteId: id, bornThere: true }, by);
  }
  const text = `${namespace.name}/${name}`;
  const leads = await store.paths.at({ namespaceId: namespace.ownerId, name, text });
  const retakes = leads.filter(({ how }) => how !== 'name').map((lead) => lead.repo.id);
  await renames.repository(repo, { namespace, name, retakes }, by);
  const now = await store.repositories.byId(repo.id);
  if (now !== undefined && now.defaultBranch !== defaultBranch) {
    await repos.set(now, { defaultBranch }, by);
  }
  await store.following.complete(server, repo.id, { body, by });
}

async function namespaceOf(core: Core, body: RepoBody, { server, by }: Job): Promise<Namespace> {
  const { store } = core;
  const ownerId = await store.following.localId(server.id, body.namespace_id);
  const name = ownerId && (await store.names.ofOwner(ownerId));
  const found = name && (await store.names.find(name));
  if (found) return found;
  const fullName = `${body.namespace}/${body.name}`;
  return namespaceForMirror(core, server, { offered: { name: fullName }, by });
}

async function make(
  { store, repos }: Core,
  { id, body, namespace }: { id: string; body: RepoBody; namespace: Namespace },
  { by }: Job,
): Promise<Repository> {
  const { name, description, visibility, default_branch: defaultBranch } = body;
  const text = `${namespace.name}/${name}`;
  const leads = await store.paths.at({ namespaceId: namespace.ownerId, name, text });
  const retakes = leads.filter(({ how }) => how !== 'name').map((lead) => lead.repo.id);
  await repos.create({ id, namespace, name, description, visibility, defaultBranch, retakes }, by);
  const made = await store.repositories.byId(id);
  if (made === undefined) throw new Error('a repository was created and is not there');
  return made;
}

/** What an owner had removed there for good goes here too; while a ref still leads to it, it waits. */
async function purgeHere(
  core: Core,
  { id, oid }: { id: string; oid: string },
  { server, by }: Job,
): Promise<void> {
  const link = await core.store.serverLinks.byRemote(server.id, id);
  const repo = link?.bornThere ? await core.store.repositories.byId(link.repoId) : undefined;
  if (repo === undefined) return;
  const release = await core.repos.holdAlone(repo);
  try {
    await purge(core, repo, { start: oid, by });
    core.sizes.changed(repo, core.repos.directory(repo));
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== 'not_found') throw error;
  } finally {
    release();
  }
}
