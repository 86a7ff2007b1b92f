import { UserError } from '../../model/errors.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { confirmLead } from './confirm-lead.ts';
import { followLog } from './log-follow.ts';
import { Remote } from './remote.ts';
import type { RunOptions } from './run.ts';

export interface FollowOptions extends RunOptions {
  readonly identities: boolean;
}

/**
 * Begins to follow a main, which is this side's confirmation, or takes what is new of it (S19, S22).
 *
 * @throws UserError `denied` for a server that is no main here; whatever keeps its log from being taken
 */
export async function follow(core: Core, asked: Server, options: FollowOptions) {
  const { store } = core;
  const isNew = (await store.following.of(asked.id)) === undefined;
  const leads = isNew && (await confirmLead(core, asked, options));
  const server = (leads && (await store.servers.byId(asked.id))) || asked;
  if (server.role !== 'main' && !leads) {
    throw new UserError('denied', `${server.name} is a ${server.role} here, and no main`, {
      hint: `if this server is to be its backup: servers set ${server.name} --role main`,
    });
  }
  if (leads && options.by.dryRun) return wouldFollow(core, options);
  const before = await store.following.of(server.id);
  const trusted = await lookedPast(core, server, before?.error, options);
  const remote = await Remote.open(core, trusted, options);
  try {
    const { head, signKey } = await remote.ask('log', { after: before ?? null });
    const identities = options.identities || before?.identities === true;
    const goesOn =
      before !== undefined &&
      before.error === undefined &&
      before.identities === identities &&
      before.signKey === signKey &&
      before.origin === head.origin;
    if (!goesOn) {
      const breakGlass = (await store.users.firstAdmin())?.id;
      const start = { identities, signKey, position: head, breakGlass };
      await store.following.begin(trusted, start, options.by);
    }
    const done = options.by.dryRun
      ? { entries: head.seq - (goesOn ? before.seq : 0), waiting: [] }
      : await followLog(core, remote, options);
    const { term, epoch, seq } = (await store.following.of(server.id)) ?? head;
    return {
      changed: leads || !goesOn || done.entries > 0,
      identities,
      ...{ term, epoch, seq },
      entries: done.entries,
      mapped: await mappedOf(core, server),
      waiting: done.waiting,
    };
  } finally {
    await remote.close();
  }
}

/** What a dry run can say of following a new leader: what its log has is not known before. */
async function wouldFollow({ store }: Core, { identities }: FollowOptions) {
  const { term, epoch, seq } = await store.entries.head();
  return { changed: true, identities, term, epoch, seq, entries: 0, mapped: [], waiting: [] };
}

/** A log that was stopped is looked at once more; a host key that changed is another matter. */
async function lookedPast(
  { store }: Core,
  server: Server,
  error: string | undefined,
  { by }: FollowOptions,
): Promise<Server> {
  const stopped = server.state === 'untrusted' && error !== undefined && server.error === error;
  if (!stopped) return server;
  if (!by.dryRun) await store.servers.note(server, { state: 'unknown' }, by);
  return { ...server, state: 'unknown', error: undefined };
}

/** The users and orgs that are called otherwise here, or stay as they are here. */
async function mappedOf({ store }: Core, server: Server) {
  const rows = await store.following.differing(server.id);
  return rows
    .filter(({ name, called, ours }) => ours === 0 || (name !== null && name !== called))
    .map(({ kind, localId: id, name, called, ours }) => ({
      kind,
      id,
      called,
      name: name ?? called,
      kept: ours === 0,
    }));
}
