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
