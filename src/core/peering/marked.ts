import { waysOf } from '../../store/server-links.ts';
import type { Mark, MarkKey } from '../../store/sync-marks.ts';
import type { Core } from '../core.ts';
import { pauseEnd } from './couriers.ts';
import { scanOutbox } from './outbox.ts';
import type { RunOptions, RunReport } from './run.ts';

interface About extends MarkKey {
  readonly name: string;
  readonly by: RunOptions['by'];
}

/** What is held waits for a person; now and then it is looked whether it still would be. */
const heldAttempts = 8;

/** Does a run, whoever asked for it, and takes the mark away that it has done with; one that was held leaves one. */
export async function marked(
  core: Core,
  { by, name, ...key }: About,
  work: () => Promise<RunReport>,
): Promise<RunReport> {
  if (by.dryRun) return work();
  const { syncMarks, digests } = core.store;
  await scanOutbox(core);
  const mark = await syncMarks.find(key);
  const report = await work();
  if (report.result !== 'held') {
    if (mark !== undefined) await syncMarks.done(mark);
    return report;
  }
  if (mark === undefined) await syncMarks.put([{ ...key, name, seq: (await digests.place()).seq }]);
  await hold(core, (await syncMarks.find(key)) ?? mark);
  return report;
}

/** What another server brought and was held here waits here, as what was fetched does: here a person allows it. */
export async function markBrought(
  core: Core,
  { held, name, ...key }: MarkKey & { readonly held: boolean; readonly name: string },
): Promise<void> {
  const { digests, serverLinks, syncMarks } = core.store;
  const mark = await syncMarks.find(key);
  if (!held) {
    if (mark?.held === true) await syncMarks.done(mark);
    return;
  }
  // What is not fetched from there can't be fetched again: then it waits at the other side alone.
  const link = await serverLinks.of(key.serverId, key.repoId);
  if (link === undefined || !waysOf(link).includes('in')) return;
  if (mark === undefined) await syncMarks.put([{ ...key, name, seq: (await digests.place()).seq }]);
  await hold(core, mark ?? (await syncMarks.find(key)));
}

/** A mark waits until a person allows what it would do. */
export async function hold(
  { store }: Pick<Core, 'store'>,
  mark: Mark | undefined,
  error = 'held: much would be deleted or forced, or set back to an older copy',
): Promise<void> {
  if (mark === undefined) return;
  const nextAt = pauseEnd(mark.attempts + heldAttempts);
  await store.syncMarks.failed(mark, { error, held: true, nextAt });
}
