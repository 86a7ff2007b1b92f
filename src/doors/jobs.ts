import type { Core } from '../core/core.ts';

/** A request as a person would type it. */
export type Words = readonly string[];

/** Something that falls due by itself. */
export interface Job {
  readonly name: string;
  /** How long between two looks, in milliseconds; asked anew for each. */
  everyMs(): number;
  /** Whether the first look is at the start, and not an interval later. */
  readonly atStart?: true;
  /** How many of its requests run at a time; one after the other without. */
  atOnce?(): number;
  /** Has it looked at before its time. @returns the function that ends that */
  onNews?(look: () => void): () => void;
  /** What is to be asked for now. Nothing due leaves no record. */
  due(): Promise<readonly Words[]>;
}

/** What a server does by itself: everything that falls due, one entry a subject. */
export function jobs(core: Core): readonly Job[] {
  return [packing(core), trashing(core), expiring(core)];
}

const packMs = 10_000;
const hourMs = 3_600_000;

/** Repositories that need packing. */
function packing({ housekeeping }: Core): Job {
  return {
    name: 'pack',
    everyMs: () => packMs,
    due: async () => maintain(await housekeeping.due()),
  };
}

/** Archived tips that have been kept for long enough. */
function expiring({ housekeeping }: Core): Job {
  return {
    name: 'expire',
    everyMs: () => hourMs,
    atStart: true,
    due: async () => maintain(await housekeeping.expiring()),
  };
}

function maintain(names: readonly string[]): readonly Words[] {
  return names.map((name) => ['repo', 'maintain', name]);
}

/** Repositories that have been in the trash for long enough. */
function trashing(core: Core): Job {
  return {
    name: 'trash',
    everyMs: () => hourMs,
    atStart: true,
    due: async () => {
      const keepMs = core.config.values['trash.keep'];
      const after = { deletedAt: '', id: '' };
      const [oldest] = await core.store.trash.page({ kind: 'all' }, { after, limit: 1 });
      if (oldest === undefined || Date.parse(oldest.deletedAt) >= Date.now() - keepMs) return [];
      return [['repo', 'trash', 'empty', '--older', `${Math.floor(keepMs / 1000)}s`, '--yes']];
    },
  };
}
