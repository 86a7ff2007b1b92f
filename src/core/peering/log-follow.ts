import type { Core } from '../core.ts';
import { fetchObjects } from './log-objects.ts';
import { pageOf, publish } from './log-publish.ts';
import { realize } from './log-realize.ts';
import { importActor, takeStretch } from './log-take.ts';
import type { Remote } from './remote.ts';
import type { RunOptions } from './run.ts';
import { sendObjects } from './send-objects.ts';

/** What following a log came to. */
export interface Followup {
  /** How many entries were taken in. */
  readonly entries: number;
  /** Why some of what it says is not done yet. */
  readonly waiting: readonly string[];
}

/** Asks a main for what is new in its log, takes it in, does what it says, and fetches what was set aside there. */
export async function followLog(
  core: Core,
  remote: Remote,
  options: RunOptions,
): Promise<Followup> {
  const { server } = remote;
  const { store } = core;
  const by = importActor(server, options.by);
  let entries = 0;
  for (;;) {
    const after = await store.following.of(server.id);
    if (after === undefined) return { entries: 0, waiting: [] };
    const { origin, term, epoch, seq, hash } = after;
    const answer = await remote.ask('log', { after: { origin, term, epoch, seq, hash } });
    const position = await takeStretch(core, server, { ...answer, by });
    entries += answer.entries.length;
    if (position.seq >= answer.head.seq) break;
    options.progress?.({ what: 'log entries', done: position.seq, total: answer.head.seq });
  }
  const { allowShrink } = options;
  const waiting = await realize(core, server, { by, allowShrink });
  await fetchObjects(core, remote, { ...options, by });
  return { entries, waiting };
}

/**
 * Sends a backup what is new in this server's log, if it follows it, and what it lacks of the values that were set aside.
 *
 * @returns how many entries went
 */
export async function sendLog(core: Core, remote: Remote, options: RunOptions): Promise<number> {
  let { position, waits } = await remote.ask('log-at', {});
  if (position === null) return 0;
  const head = await publish(core);
  let sent = 0;
  for (;;) {
    const same = position.origin === head.origin && position.epoch === head.epoch;
    if (same && position.seq === head.seq && position.hash === head.hash) break;
    // One that is further than this log is told so, and stops by itself.
    const entries = await pageOf(core, same ? position.seq : 0);
    ({ position, waits } = await remote.ask('log-take', { head, entries }));
    sent += entries.length;
    if (entries.length === 0) break;
  }
  await core.store.entries.read(remote.server.id, head.seq);
  if (waits) await sendObjects(core, remote, options);
  return sent;
}
