import { readRefsOf } from '../../programs/refs.ts';
import { archivePrefix } from '../../programs/tips.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { tooBig } from '../room.ts';
import { carry } from './carry.ts';
import type { LogAnswers } from './log-protocol.ts';
import type { RefPair } from './protocol.ts';
import type { Remote } from './remote.ts';
import type { RunOptions } from './run.ts';
import type { SyncSession } from './sessions.ts';
import { manifestBytes, writeSnapshot } from './snapshot.ts';

/** Objects that were set aside in a repository, ready to be carried. */
interface ArchiveSnapshot {
  readonly session: SyncSession;
  readonly bytes: number;
  /** Those that are in it. */
  readonly oids: readonly string[];
}

/** Writes what of some objects is kept here for another server. @returns undefined where none is */
export async function archiveSnapshot(
  core: Core,
  server: Server,
  {
    repo,
    oids: wanted,
    have,
    signal,
  }: {
    repo: Repository;
    oids: readonly string[];
    have: readonly RefPair[];
    signal: AbortSignal;
  },
): Promise<ArchiveSnapshot | undefined> {
  const release = await core.repos.hold(repo, signal);
  try {
    const directory = core.repos.directory(repo);
    const names = wanted.map((oid) => `${archivePrefix}${oid}`);
    const kept = await readRefsOf(directory, names);
    const oids = [...kept.values()].flatMap(({ oid }) => oid ?? []);
    if (oids.length === 0) return undefined;
    const about = { serverId: server.id, repoId: repo.id, direction: 'out' } as const;
    const session = await core.syncSessions.open(about);
    const manifest = await writeSnapshot(core.git, directory, {
      // Under a name that lists may have; what they are called there is for the receiver to say.
      refs: new Map(oids.map((oid) => [`refs/tags/${oid}`, oid])),
      theirs: new Map(have),
      births: new Map(),
      deleted: new Map(),
      from: undefined,
      folder: session.directory,
      signal,
    });
    return { session, bytes: manifestBytes(manifest), oids };
  } finally {
    release();
  }
}

/** Sends a backup what it lacks of the values that were set aside here, a repository at a time. */
export async function sendObjects(core: Core, remote: Remote, options: RunOptions): Promise<void> {
  let after: string | null = null;
  for (;;) {
    const lacking: LogAnswers['lacking'] = await remote.ask('lacking', { after });
    if (lacking === null) return;
    await sendThose(core, remote, { lacking, ...options });
    after = lacking.id;
  }
}

async function sendThose(
  core: Core,
  remote: Remote,
  { lacking, ...options }: RunOptions & { lacking: NonNullable<LogAnswers['lacking']> },
): Promise<void> {
  const { id, oids: wanted, have, token, room, rsync: theirs } = lacking;
  const repo = await core.store.repositories.byId(id);
  const { signal } = options;
  const made =
    repo && (await archiveSnapshot(core, remote.server, { repo, oids: wanted, have, signal }));
  try {
    if (made !== undefined) {
      const { session, bytes: total } = made;
      if (total > room) throw tooBig(total, room, `on ${remote.server.name}`);
      const files = { directory: session.directory, token, direction: 'push', total } as const;
      await carry(core, remote, { ...files, theirs, ...options });
    }
    const oids = made?.oids ?? [];
    const sent = new Set(oids);
    const gone = wanted.filter((oid) => !sent.has(oid));
    await remote.ask('take-objects', { token, id, oids, gone });
    await remote.ask('done', { token, digest: '' });
  } finally {
    if (made !== undefined) await core.syncSessions.close(made.session);
  }
}
