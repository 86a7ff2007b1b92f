import type { Core } from '../core/core.ts';
import { findExternals } from '../core/externals.ts';
import { dropEarlierKeys, takeOverHostKeys } from '../core/own-keys.ts';
import { withOldConflicts } from '../core/peering/conflict-refs.ts';
import { isPaused, latestPauseEnd } from '../core/peering/couriers.ts';
import { startMeetings } from '../core/peering/meetings.ts';
import { scanOutbox } from '../core/peering/outbox.ts';

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
  return [
    packing(core),
    trashing(core),
    expiring(core),
    syncing(core),
    sweeping(core),
    changingKeys(core),
  ];
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

/** Archived tips, and values of conflicts, that have been kept for long enough. */
function expiring(core: Core): Job {
  return {
    name: 'expire',
    everyMs: () => hourMs,
    atStart: true,
    due: async () => {
      const names = [...(await core.housekeeping.expiring()), ...(await withOldConflicts(core))];
      return maintain([...new Set(names)]);
    },
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

const sweepMs = 60_000;

/** What somebody wrote on the disk past cpm: who looks at the history of a repository has it written down there. */
function sweeping(core: Core): Job {
  return {
    name: 'sweep',
    everyMs: () => sweepMs,
    atStart: true,
    due: async () => (await findExternals(core)).map((name) => ['repo', 'history', name]),
  };
}

const keysMs = 5000;

/** This server's own keys whose time has come; the record is told of each. */
function changingKeys(core: Core): Job {
  return {
    name: 'keys',
    everyMs: () => keysMs,
    due: async () => {
      await takeOverHostKeys(core);
      await dropEarlierKeys(core);
      return [];
    },
  };
}

const syncMs = 1000;
/** Changes that come together are looked at together, after whoever made them was answered. */
const gatherMs = 5;
const mostServers = 1000;

/** What other servers lack of this one, and it of them. */
function syncing(core: Core): Job {
  const { couriers, store } = core;
  return {
    name: 'sync',
    everyMs: () => syncMs,
    atStart: true,
    // How much runs with a server at a time is its own request's to say.
    atOnce: () => mostServers,
    onNews: (look) => {
      const gather = gathered(look);
      const deaf = [store.changes.onCommit(gather.call), couriers.onNews(gather.call)];
      return () => {
        for (const each of deaf) each();
        gather.end();
      };
    },
    due: async () => {
      await scanOutbox(core);
      if (core.config.values['sync.concurrency'] === 0) return [];
      await startMeetings(core);
      return dueServers(core);
    },
  };
}

function gathered(work: () => void): { call(): void; end(): void } {
  let timer: NodeJS.Timeout | undefined;
  return {
    call: () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        work();
      }, gatherMs).unref();
    },
    end: () => clearTimeout(timer),
  };
}

async function dueServers({ store, couriers }: Core): Promise<readonly Words[]> {
  const now = new Date().toISOString();
  const due: Words[] = [];
  for (const { id, name, url, state } of await store.servers.list()) {
    if (url === undefined || state === 'untrusted' || couriers.working.has(id)) continue;
    if (isPaused((await store.syncPeers.of(id)).nextAt)) continue;
    if (await store.syncMarks.isDue(id, { now, latest: latestPauseEnd() }))
      due.push(['servers', 'sync', name]);
  }
  return due;
}
