import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RefList } from '../../model/sync-refs.ts';
import { admitObjects } from '../../programs/admit.ts';
import { removeScratch } from '../../programs/pack.ts';
import { archivePrefix, archiveTips, typesOf } from '../../programs/tips.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Wish } from '../../store/wishes.ts';
import type { Core } from '../core.ts';
import { checkObjects } from './admit.ts';
import { carry } from './carry.ts';
import { readInbox } from './inbox.ts';
import type { Remote } from './remote.ts';
import type { RunOptions } from './run.ts';
import { visibleRefs } from './snapshot.ts';

const mostWishes = 10_000;

/** Archives the values that a main set aside, and fetches those that were never here. */
export async function fetchObjects(core: Core, remote: Remote, options: RunOptions): Promise<void> {
  const { server } = remote;
  const { store } = core;
  const wishes = await store.wishes.of(server.id, mostWishes);
  for (const wish of wishes.filter(({ subject }) => subject.startsWith('objects:'))) {
    const [, id = ''] = wish.subject.split(':');
    const link = await store.serverLinks.byRemote(server.id, id);
    const repo = link && (await store.repositories.byId(link.repoId));
    // It comes with the repository, or never.
    if (repo === undefined) continue;
    await bring(core, remote, { ...options, repo, id, wish });
  }
}

async function bring(
  core: Core,
  remote: Remote,
  { repo, id, wish, ...options }: RunOptions & { repo: Repository; id: string; wish: Wish },
): Promise<void> {
  const { store, repos, git } = core;
  const directory = repos.directory(repo);
  const release = await repos.hold(repo, options.signal);
  try {
    const wanted: string[] = JSON.parse(wish.body ?? '[]');
    const there = await typesOf(git, directory, wanted);
    await archiveTips(git, directory, [...there.keys()]);
    const lacking = wanted.filter((oid) => !there.has(oid));
    if (lacking.length > 0) await fetchLacking(core, remote, { ...options, repo, id, lacking });
    await store.wishes.fulfilled(remote.server.id, wish);
  } finally {
    release();
  }
}

async function fetchLacking(
  core: Core,
  remote: Remote,
  {
    repo,
    id,
    lacking,
    ...options
  }: RunOptions & { repo: Repository; id: string; lacking: readonly string[] },
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
async function admitArchive(
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
