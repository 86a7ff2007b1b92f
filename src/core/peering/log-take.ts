import {
  type ChangeEntry,
  entryText,
  genesis,
  isWhole,
  type LogPosition,
  logNamespace,
  misfit,
} from '../../model/change-entry.ts';
import { UserError } from '../../model/errors.ts';
import { verifySshSignature } from '../../model/sshsig.ts';
import type { Actor } from '../../store/changes.ts';
import type { Followed } from '../../store/following.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { actorFor } from './run.ts';

/** A stretch of another server's log, as it sent it. */
export interface Stretch {
  /** Where its log is now. */
  readonly head: LogPosition;
  readonly entries: readonly ChangeEntry[];
}

/** Who writes what a server's log says. */
export function importActor(server: Server, by: Actor): Actor {
  return { ...actorFor(server, by, by.request), isImport: true };
}

/** How far the log of a main is followed; undefined where it is not, or stopped. */
export async function followedOf({ store }: Core, server: Server): Promise<Followed | undefined> {
  const found = await store.following.of(server.id);
  return server.role === 'main' && found?.error === undefined ? found : undefined;
}

/**
 * Takes a stretch of a log in, if it is that of the server that is followed and goes on where this one is (S22).
 *
 * @returns how far it is followed now
 * @throws UserError `denied` for one that forked, went back or is of an older lead: a fork stops all with that server;
 *   `corrupt` for one that it did not sign; `conflict` for one that does not begin where this one is
 */
export async function takeStretch(
  core: Core,
  server: Server,
  { head, entries, by }: Stretch & { by: Actor },
): Promise<LogPosition> {
  const { store } = core;
  const followed = await store.following.of(server.id);
  if (followed === undefined || server.role !== 'main') throw notFollowed(server);
  if (followed.error !== undefined) throw new UserError('denied', followed.error, again(server));
  refuseOther(server, followed, head);
  const started = await startOf(core, server, { followed, head, by });
  const fault = head.seq < started.seq || hashDiffers(started, head) ? forked(started, head) : '';
  if (fault !== '') throw await held(core, server, { why: fault, by });
  if (entries.length === 0) return started;
  await check(core, server, { started, entries, signKey: followed.signKey, by });
  const taken = await store.following.take(server, started, { entries, by });
  endSessions(core, server, taken);
  await store.following.trimAuditHeads(server.id);
  if (started.epoch > 1 && taken.position.seq === head.seq) {
    const gone = await store.following.endUnknown(server, by);
    endSessions(core, server, { endedKeys: [], endedUsers: gone, ending: [] });
  }
  return taken.position;
}

/** @throws UserError `denied` for another server's log, or one from before the last fail-over or restore */
function refuseOther(server: Server, followed: Followed, head: LogPosition): void {
  const known = followed;
  if (head.origin !== known.origin) {
    throw new UserError(
      'denied',
      `${server.name}: this is another data directory's log`,
      again(server),
    );
  }
  const older =
    head.term < known.term
      ? `term ${head.term}, and term ${known.term}`
      : head.epoch < known.epoch
        ? `epoch ${head.epoch}, and epoch ${known.epoch}`
        : undefined;
  if (older === undefined) return;
  throw new UserError('denied', `${server.name}: its log is of ${older} is known here`, {
    hint: 'another server leads by now: see servers list there',
  });
}

/** A log that was begun anew, after a restore of its database, is followed from its beginning. */
async function startOf(
  { store }: Core,
  server: Server,
  { followed, head, by }: { followed: Followed; head: LogPosition; by: Actor },
): Promise<LogPosition> {
  const { origin, term, epoch, seq, hash } = followed;
  if (head.epoch === epoch) return { origin, term, epoch, seq, hash };
  await store.following.restart(server, head.epoch, by);
  return { origin, term, epoch: head.epoch, seq: 0, hash: genesis };
}

function hashDiffers(started: LogPosition, head: LogPosition): boolean {
  return head.seq === started.seq && head.hash !== started.hash;
}

function forked(started: LogPosition, head: LogPosition): string {
  return head.seq < started.seq
    ? `its change log went back: entry ${started.seq} is known here, and it ends with ${head.seq}`
    : `its change log forked: its entry ${head.seq} is not the one that is known here`;
}

async function check(
  core: Core,
  server: Server,
  {
    started,
    entries,
    signKey,
    by,
  }: { started: LogPosition; entries: readonly ChangeEntry[]; signKey: string; by: Actor },
): Promise<void> {
  const blob = Buffer.from(signKey, 'base64');
  let last = started;
  for (const entry of entries) {
    if (entry.seq <= started.seq) {
      throw new UserError('conflict', `${server.name}: entry ${entry.seq} was taken in before`);
    }
    const { signature } = entry;
    const message = entryText(last.origin, entry);
    const signed = verifySshSignature(signature, { blob, namespace: logNamespace, message });
    if (!signed || !isWhole(last.origin, entry)) {
      throw new UserError(
        'corrupt',
        `${server.name}: entry ${entry.seq} of its log is not as it was signed; nothing was changed`,
      );
    }
    const fault = misfit(last, entry);
    if (fault !== undefined) {
      const why = `its change log forked at entry ${entry.seq}: ${fault}`;
      throw await held(core, server, { why, by });
    }
    last = { ...entry, origin: last.origin };
  }
}

async function held(
  { store }: Core,
  server: Server,
  { why, by }: { why: string; by: Actor },
): Promise<UserError> {
  await store.following.hold(server, why, by);
  return new UserError('denied', `sync with ${server.name} stopped: ${why}`, again(server));
}

function again({ name }: Server): { hint: string } {
  return { hint: `once you know why, take it as it is now: servers follow ${name}` };
}

function notFollowed({ name }: Server): UserError {
  return new UserError('denied', `${name}: its change log is not followed here`, {
    hint: `confirm it on this side: servers follow ${name}`,
  });
}

/** Who lost a key or an account there loses what is open here. */
function endSessions(
  { sessions }: Core,
  server: Server,
  taken: {
    readonly endedKeys: readonly string[];
    readonly endedUsers: readonly string[];
    readonly ending: readonly { readonly keyId: string; readonly at: string }[];
  },
): void {
  const { endedKeys, endedUsers, ending } = taken;
  const why = new UserError('denied', `this ended on ${server.name}`);
  if (endedKeys.length > 0) sessions.endKeys(endedKeys, why);
  for (const id of endedUsers) sessions.endUser(id, why);
  for (const { keyId, at } of ending) sessions.endKeyAt(keyId, at, why);
}
