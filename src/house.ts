import type { Config } from './config.ts';
import { type Core, openCore } from './core/core.ts';
import { checkOperator, inspectHouse } from './core/house.ts';
import { inUse, tryHouse } from './core/house-lock.ts';
import { createLog } from './log.ts';
import { UserError } from './model/errors.ts';
import type { HouseLock } from './store/sqlite.ts';

/** How long a command waits for a data directory that another process has. */
const commandWaitMs = 30_000;
/** How often it looks whether that is a server by now, which would carry the command out. */
const lookMs = 250;

/**
 * Does something with a data directory, or lets the server that has it do it; waits for other commands on it, and for a
 * server that is about to start.
 *
 * @param served - asks a server; undefined when none listens
 * @throws UserError `conflict` when another process has the data directory for too long
 */
export async function withHouse(
  config: Config,
  { served, work }: { served(): Promise<number | undefined>; work(core: Core): Promise<number> },
  { signal, waitMs = commandWaitMs }: { signal: AbortSignal; waitMs?: number | undefined },
): Promise<number> {
  const until = performance.now() + waitMs;
  for (;;) {
    const answered = await served();
    if (answered !== undefined) return answered;
    const lock = await tryHouse(config.dataDir, lookMs, signal);
    if (lock !== undefined) return withCore(config, lock, work);
    if (performance.now() > until || signal.aborted) throw await inUse(config.dataDir);
  }
}

async function withCore<T>(
  config: Config,
  lock: HouseLock,
  work: (core: Core) => Promise<T>,
): Promise<T> {
  try {
    const core = await openCore(config, createLog('warn'));
    try {
      return await work(core);
    } finally {
      await core.close();
    }
  } finally {
    lock.release();
  }
}

/** @throws UserError when this account is not the operator, or there is no data directory */
export async function checkHouse(config: Config): Promise<void> {
  await checkOperator(config.dataDir);
  if ((await inspectHouse(config.dataDir, config.databasePath)) === 'complete') return;
  throw new UserError('not_found', `no data directory at ${config.dataDir}`, {
    hint: 'name it with --data-dir DIR, or make one with: cpm serve',
  });
}
