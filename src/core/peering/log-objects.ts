import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RefList } from '../../model/sync-refs.ts';
import { admitObjects } from '../../programs/admit.ts';
import { removeScratch } from '../../programs/pack.ts';
import { archivePrefix, archiveTips, typesOf } from '../../programs/tips.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Wish } from '../../store/wishes.ts';
import type { Core } from '../core.ts';
import { checkObjects } from './admit.ts';
import { carry } from './carry.ts';
import { readInbox } from './inbox.ts';
import type { Remote } from './remote.ts';
import type { RunOptions } from './run.ts';
import { visibleRefs } from './snapshot.ts';

const mostWishes = 10_000;
const kind = 'objects:';

/** Values that a main set aside and that never were here. */
interface Lacking {
  readonly repo: Repository;
  /** The id of the repository there. */
  readonly id: string;
  readonly oids: readonly string[];
  readonly wish: Wish;
}

/**
 * Archives the values that a main set aside, as far as they are here, and tells of those that lack.
 *
 * @param after - the id of a repository there: those up to it are left out
 */
export async function* lackingObjects(
  core: Core,
  server: Server,
  { after = '', signal }: { after?: string | undefined; signal: AbortSignal },
): AsyncGenerator<Lacking> {
  const { wishes } = core.store;
  const all = await wishes.of(server.id, mostWishes);
  const subjects = new Set(all.map(({ subject }) => subject));
  for (const wish of all.filter(({ subject }) => subject.startsWith(kind))) {
    const id = wish.subject.slice(kind.length);
    if (id <= after) continue;
    const repo = await mirrorOf(core, server, id);
    if (repo !== undefined) {
      const oids = await archiveKnown(core, repo, { wish, signal });
      if (oids.length === 0) await wishes.fulfilled(server.id, wish);
      else yield { repo, id, oids, wish };
    } else if (!subjects.has(`repo:${id}`) && !(await isInTrash(core, server, id))) {
      // It was deleted for good, or another server's is in its place.
      await wishes.fulfilled(server.id, wish);
    }
  }
}

/** Whether a mirror may be restored. @param id - of the repository there */
async function isInTrash({ store }: Core, server: Server, id: string): Promise<boolean> {
  const link = await store.serverLinks.byRemote(server.id, id);
  return (await store.trash.byId(link?.repoId ?? id)) !== undefined;
}

/** The repository here that is the mirror of one there, unless it was deleted. */
export async function mirrorOf(
  { store }: Core,
  server: Server,
  id: string,
): Promise<Repository | undefined> {
  const link = await store.serverLinks.byRemote(server.id, id);
  return link && store.repositories.byId(link.repoId);
}

/** @returns those of the values that are not here */
async function archiveKnown(
  { repos, git }: Core,
  repo: Repository,
  { wish, signal }: { wish: Wish; signal: AbortSignal },
): Promise<readonly string[]> {
  const directory = repos.directory(repo);
  const release = await repos.hold(repo, signal);
  try {
    const wanted: string[] = JSON.parse(wish.body ?? '[]');
    const there = await typesOf(git, directory, wanted);
    await archiveTips(git, directory, [...there.keys()]);
    return wanted.filter((oid) => !there.has(oid));
  } finally {
    release();
  }
}

/** Fetches the values that a main set aside and that never were here. */
export async function fetchObjects(core: Core, remote: Remote, options: RunOptions): Promise<void> {
  const { server } = remote;
  for await (const lacking of lackingObjects(core, server, options)) {
    const release = await core.repos.hold(lacking.repo, options.signal);
    try {
      await fetchLacking(core, remote, { ...options, ...lacking });
      await core.store.wishes.fulfilled(server.id, lacking.wish);
    } finally {
      release();
    }
  }
}

async function fetchLacking(
  core: Core,
  remote: Remote,
  { repo, id, oids: lacking, ...options }: RunOptions & Omit<Lacking, 'wish'>,
): Promise<void> {
  const { repos, syncSessions } = core;
  const directory = repos.directory(repo);
  const have = [...(await visibleRefs(directory))];
  const answer = await remote.ask('objects', { id, oids: lacking, have });
  const { token, bytes: total } = answer;
  if (token === null) return;
  await core.room.forSync(total);
  const serverId = remote.server.id;
  const session = await syncSessions.open({ serverId, repoId: repo.id, direction: 'in' });
  try {
    const files = { directory: session.directory, token, direction: 'pull', total } as const;
    await carry(core, remote, { ...files, ...options });
    const oids = lacking.filter((oid) => answer.oids.includes(oid));
    await admitArchive(core, repo, { folder: session.directory, oids, signal: options.signal });
    await remote.ask('done', { token, digest: '' });
    await syncSessions.close(session);
  } finally {
    await syncSessions.leave(session);
  }
}

/** Takes in what is to be kept in the archive: checked as all that comes from elsewhere, and held by refs of our own. */
export async function admitArchive(
  core: Core,
  repo: Repository,
  { folder, oids, signal }: { folder: string; oids: readonly string[]; signal: AbortSignal },
): Promise<void> {
  const directory = core.repos.directory(repo);
  const received = await readInbox(folder, undefined);
  const scratch = join(core.config.dataDir, 'incoming', `sync-objects-${randomUUID()}`);
  const refs: RefList = new Map(oids.map((oid) => [`${archivePrefix}${oid}`, oid]));
  try {
    await mkdir(join(scratch, 'pack'), { recursive: true, mode: 0o700 });
    await checkObjects(core, { repo, signal }, { received: { ...received, refs }, scratch });
    await admitObjects(scratch, directory);
    await archiveTips(core.git, directory, oids);
  } finally {
    await received.pack?.close();
    await removeScratch(scratch);
  }
}
