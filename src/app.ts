import { setTimeout as wait } from 'node:timers/promises';
import type { Config } from './config.ts';
import type { Conclusion } from './core/audit.ts';
import { AuditClock } from './core/audit-clock.ts';
import { type Core, openCore } from './core/core.ts';
import { stopping } from './core/events.ts';
import {
  type Asker,
  addFirstAdmin,
  type FirstAdmin,
  planFirstStart,
  writeFirstKeys,
} from './core/first-start.ts';
import {
  beginHouse,
  checkOwner,
  clearCutOff,
  finishHouse,
  inspectHouse,
  markCutOff,
  readPrivateKey,
} from './core/house.ts';
import { leaveHouse, takeHouse, tryHouse } from './core/house-lock.ts';
import { identifyKey } from './core/identify.ts';
import { settleOwnKeys, takeOverHostKeys } from './core/own-keys.ts';
import { endPauses } from './core/peering/meetings.ts';
import { openBeaconOf } from './doors/beacon/open.ts';
import { Clock } from './doors/clock.ts';
import { guestsOf } from './doors/forced/guests.ts';
import { jobs } from './doors/jobs.ts';
import { type Closing, listenAll, type PassedSocket, placesOf } from './doors/listen.ts';
import { askToYield } from './doors/local/client.ts';
import type { Heir } from './doors/local/heir.ts';
import { openLocalDoor } from './doors/local/server.ts';
import { socketPath } from './doors/local/socket-path.ts';
import { localSessions, sshSessions } from './doors/sessions.ts';
import type { SshDoor } from './doors/ssh/door.ts';
import { createLog, type Log } from './log.ts';
import type { ListenAddress } from './settings.ts';
import { createRun } from './shell/run.ts';
import type { HouseLock } from './store/sqlite.ts';
import { openStore } from './store/store.ts';

/** A server that runs. */
export interface App {
  readonly core: Core;
  readonly addresses: readonly ListenAddress[];
  /** Where else it listens, as URLs. */
  readonly beacons: readonly string[];
  readonly fingerprints: readonly string[];
  /** Who was made the first site admin just now; undefined but for a first start. */
  readonly firstAdmin: FirstAdmin | undefined;
  /** What it listens on. */
  sockets(): readonly PassedSocket[];
  /**
   * Stops accepting, lets transfers finish within the grace, writes everything down.
   *
   * @param closing - as at the end of the server unless told
   * @param stays - a request that is not waited for
   */
  close(closing?: Closing, stays?: string): Promise<void>;
  /** Waits until who stayed is gone, so long. */
  left(longestMs: number): Promise<void>;
}

/** What a server is started with besides its configuration. */
export interface Starting {
  readonly asker: Asker;
  /** Sockets that were opened for its doors before: a door that has one opens none itself. */
  readonly sockets: readonly PassedSocket[];
  /** Whether a server has just left the data directory to this one. */
  readonly follows: boolean;
  /** What that one left to be written down. */
  readonly concluded: Conclusion | undefined;
  /** Leaves everything to another process. @returns when nothing more is to be said to it */
  takeOver(heir: Heir): Promise<void>;
  /** Hears what is amiss and no fault. */
  warn(text: string): void;
}

/**
 * Starts a server, making its data directory where there is none.
 *
 * @throws UserError `conflict` when a server has the data directory already
 */
export async function startApp(config: Config, starting: Starting): Promise<App> {
  const { warn } = starting;
  const log = createLog(config.values.log_level);
  await checkOwner(config.dataDir);
  await inspectHouse(config.dataDir, config.databasePath);
  const { workers } = config.values;
  if (workers !== 'auto' && workers > 1) {
    warn(`workers is ${workers}, and one process serves: several are not in this version`);
  }
  const lock = starting.follows
    ? await takeHouse(config.dataDir, standInWaitMs)
    : await lockHouse(config.dataDir);
  let firstAdmin: FirstAdmin | undefined;
  try {
    firstAdmin = await ensureHouse(config, starting.asker);
    const { concluded } = starting;
    const core = await openCore(config, log, { isNew: firstAdmin !== undefined, concluded });
    return await openDoors({ core, lock, firstAdmin, starting });
  } catch (error) {
    // Its admin was told nothing: the next start is the first one again.
    if (firstAdmin !== undefined) await markCutOff(config.dataDir);
    lock.release();
    throw error;
  }
}

/** Long enough for a command of the local program to get out of the way. */
const serveWaitMs = 2000;
/** Longer than what a stand-in has running may go on. */
const standInWaitMs = 60_000;

/** @throws UserError `conflict` when a server has it, or a command that doesn't end */
async function lockHouse(dataDir: string): Promise<HouseLock> {
  const lock = await tryHouse(dataDir, serveWaitMs);
  if (lock !== undefined) return lock;
  const yields = await askToYield(socketPath(dataDir));
  return takeHouse(dataDir, yields ? standInWaitMs : 0);
}

async function ensureHouse(config: Config, asker: Asker): Promise<FirstAdmin | undefined> {
  const { dataDir, databasePath } = config;
  await clearCutOff(dataDir, databasePath);
  if ((await inspectHouse(dataDir, databasePath)) === 'complete') return undefined;
  const plan = await planFirstStart(config, asker);
  await beginHouse(dataDir);
  const key = await writeFirstKeys(config, plan);
  const store = await openStore(databasePath);
  const admin = await addFirstAdmin(store, plan.name, key);
  await store.close();
  await finishHouse(dataDir);
  return admin;
}

interface Opened {
  readonly core: Core;
  readonly lock: HouseLock;
  readonly firstAdmin: FirstAdmin | undefined;
  readonly starting: Starting;
}

async function openDoors({ core, lock, firstAdmin, starting }: Opened): Promise<App> {
  const { config, log } = core;
  const run = createRun(core);
  const auditClock = new AuditClock(core.chain, log, {
    keepMs: () => core.config.values['audit.keep'],
  });
  await auditClock.start();
  // Before the door reads them.
  await settleOwnKeys(core);
  await takeOverHostKeys(core);
  await endPauses(core);
  const clock = new Clock(jobs(core), run, log);
  clock.start();
  const ssh = await openSsh(core, log);
  const places = placesOf('ssh', config.values.listen, starting.sockets);
  const addresses = await listenAll((place) => ssh.listen(place), places, starting.warn);
  core.setPort(addresses[0]?.port ?? 0);
  const beacon = await openBeaconOf(core, run, starting.sockets);
  const elsewhere = (user: string) => ssh.connections().filter(({ owner }) => owner?.user === user);
  const { takeOver } = starting;
  const host = { run, guests: guestsOf(core, elsewhere), makeRoom: () => false, takeOver };
  const [passed] = starting.sockets.filter(({ name }) => name === 'local');
  const local = await openLocalDoor(socketPath(config.dataDir), host, { log, passed });
  const open = [sshSessions(ssh, addresses), localSessions(local)];
  const closed = open.map((each) => core.sessions.register(each));
  return {
    core,
    addresses,
    beacons: beacon.listeners,
    fingerprints: ssh.fingerprints,
    firstAdmin,
    sockets: () => [ssh, beacon, local].flatMap((door) => door.sockets()),
    left: (longestMs) => Promise.race([local.left(), wait(longestMs, undefined, { ref: false })]),
    close: async (closing = { graceMs: core.config.values['shutdown.grace'] }, stays = '') => {
      core.events.stop(stopping());
      core.couriers.leave();
      await Promise.all([
        ssh.close(closing),
        beacon.close(closing),
        local.close(closing, (request) => request === stays),
      ]);
      for (const unregister of closed) unregister();
      await clock.stop();
      await auditClock.stop();
      await core.close();
      await leaveHouse(config.dataDir, lock);
    },
  };
}

async function openSsh(core: Core, log: Log): Promise<SshDoor> {
  // Loaded here alone: a command on this machine needs nothing of it.
  const { openSshDoor } = await import('./doors/ssh/server.ts');
  return openSshDoor({
    hostKeys: await Promise.all(core.config.hostKeyPaths.map(readPrivateKey)),
    limits: () => {
      const { values } = core.config;
      return {
        loginGraceMs: values['limits.login_grace'],
        authTries: values['limits.auth_tries'],
        channels: values['limits.channels'],
        unauthenticated: values['limits.unauthenticated'],
        connections: values['limits.connections'],
        unauthenticatedPerAddress: values['limits.unauthenticated_per_address'],
        connectionsPerUser: values['limits.connections_per_user'],
        idleMs: values['limits.idle'],
      };
    },
    log,
    identify: (blob) => identifyKey(core.store, blob),
    signedIn: async ({ principal }, address) => {
      core.audit.signedIn(principal, address);
      core.signIns.note(principal);
    },
    signInFailed: (address, fingerprints) => core.audit.signInFailed(address, fingerprints),
    run: createRun(core),
  });
}
