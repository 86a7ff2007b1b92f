import { ownRsync } from './carry.ts';
import type { LogAsked } from './log-desk.ts';
import { admitArchive, lackingObjects } from './log-objects.ts';
import type { LogAnswers, LogQuestions } from './log-protocol.ts';
import { realize } from './log-realize.ts';
import { followedOf, importActor } from './log-take.ts';
import { visibleRefs } from './snapshot.ts';

/** Tells a main what is lacking of what it set aside, and makes ready for it. */
export async function lacking(
  { core, server, by, signal, keep }: LogAsked,
  { after }: LogQuestions['lacking'],
): Promise<LogAnswers['lacking']> {
  if ((await followedOf(core, server)) === undefined) return null;
  const actor = importActor(server, by);
  // What could not be done when the log was taken in may be possible now.
  if (after === null) await realize(core, server, { by: actor, allowShrink: false });
  const asked = { after: after === null ? undefined : String(after), signal };
  for await (const { repo, id, oids } of lackingObjects(core, server, asked)) {
    await core.room.onDisk();
    const room = await core.room.forPack();
    const about = { serverId: server.id, repoId: repo.id, direction: 'in' } as const;
    const session = await core.syncSessions.open({ ...about, limitBytes: 2 * room });
    keep(session);
    const { token } = session;
    const have = [...(await visibleRefs(core.repos.directory(repo)))];
    return { id, oids, have, token, room, rsync: (await ownRsync(core)) ?? null };
  }
  return null;
}

/** Takes in what was lacking. What is gone there is not asked for again. */
export async function takeObjects(
  { core, server, signal }: LogAsked,
  { token, id, oids: sent, gone }: LogQuestions['take-objects'],
): Promise<LogAnswers['take-objects']> {
  const [isSent, isGone] = [new Set(sent), new Set(gone)];
  const { repoId, directory: folder } = core.syncSessions.find(String(token), server.id, 'in');
  for await (const { repo, wish, ...found } of lackingObjects(core, server, { signal })) {
    if (found.id !== id || repo.id !== repoId) continue;
    const release = await core.repos.hold(repo, signal);
    try {
      const oids = found.oids.filter((oid) => isSent.has(oid));
      if (oids.length > 0) await admitArchive(core, repo, { folder, oids, signal });
      // More may have been set aside since it was asked for.
      const isDone = found.oids.every((oid) => isSent.has(oid) || isGone.has(oid));
      if (isDone) await core.store.wishes.fulfilled(server.id, wish);
    } finally {
      release();
    }
  }
  return {};
}
