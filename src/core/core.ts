import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, publicUrl, type Reread, takeOver } from '../config.ts';
import type { Log } from '../log.ts';
import { initBare } from '../programs/bare.ts';
import { type Git, openGit } from '../programs/git.ts';
import { NewObjects } from '../programs/objects.ts';
import { RefAnswers } from '../programs/ref-answers.ts';
import { openStore, type Store } from '../store/store.ts';
import { AccessControl } from './access.ts';
import { Audit, type Conclusion } from './audit.ts';
import { AuditChain } from './audit-chain.ts';
import { type Carriage, openCarriage } from './carriage.ts';
import { Events } from './events.ts';
import { Handover } from './handover.ts';
import { HookScripts } from './hook-scripts.ts';
import { ensureScratch } from './house.ts';
import { type Life, openLife } from './life.ts';
import { Locks } from './locks.ts';
import { Lookup } from './lookup.ts';
import { Mending } from './mending.ts';
import { Pairings } from './neighbors/pairings.ts';
import { PushQueue } from './push-queue.ts';
import { recover } from './recovery.ts';
import { Renames } from './renames.ts';
import { Repos } from './repos.ts';
import { Room, type RoomLimits } from './room.ts';
import { Rules } from './rules.ts';
import { Sessions } from './sessions.ts';
import { SignIns } from './sign-ins.ts';
import { Sizes } from './sizes.ts';

/** Everything that acts on one data directory. One process has it at a time. */
export interface Core extends Life, Carriage {
  /** The settings in force. */
  readonly config: Config;
  readonly log: Log;
  readonly store: Store;
  readonly access: AccessControl;
  readonly audit: Audit;
  readonly chain: AuditChain;
  readonly events: Events;
  readonly repos: Repos;
  readonly renames: Renames;
  readonly git: Git;
  readonly mending: Mending;
  readonly refAnswers: RefAnswers;
  readonly newObjects: NewObjects;
  readonly handover: Handover;
  readonly sessions: Sessions;
  readonly signIns: SignIns;
  readonly sizes: Sizes;
  readonly room: Room;
  readonly rules: Rules;
  readonly scripts: HookScripts;
  readonly pushes: PushQueue;
  readonly pairings: Pairings;
  /** An empty bare repository: what a push to a missing one is advertised. */
  readonly emptyRepository: string;
  /** `ssh://USER@HOST[:PORT]` of this server. */
  publicUrl(): string;
  /** Where a repository is cloned from. */
  cloneUrl(fullName: string): string;
  /** Where the SSH door listens. */
  sshPort(): number;
  /** The door's real port, once it is known. */
  setPort(port: number): void;
  /** Reads the configuration again and takes over what can be while it runs. @throws UserError `usage` */
  reconfigure(): Promise<Reread>;
  close(): Promise<void>;
}

/** How a data directory is opened. */
interface Opening {
  /** Hears every SQL text that runs. */
  readonly seen?: (sql: string) => void;
  /** It was made just now, and no process before had it. */
  readonly isNew?: boolean;
  /** A request that the process before left to this one. */
  readonly concluded?: Conclusion | undefined;
}

/**
 * Opens a complete data directory that this process has locked, and cleans up after a crash.
 */
export async function openCore(config: Config, log: Log, how: Opening = {}): Promise<Core> {
  const { dataDir } = config;
  let current = config;
  const live = () => current.values;
  const store = await openStore(config.databasePath, how.seen);
  const audit = new Audit(store, log);
  const disk = await openDisk({ store, log, dataDir }, live);
  const { git, locks, repos, room, sizes, mending } = disk;
  const carriage = await openCarriage({ store, git, room, dataDir });
  const life = openLife({ store, repos, git, locks, room, sizes, ...carriage, dataDir, live });
  const renames = new Renames({ store, repos, locks, room, sizes, dataDir, log });
  if (!how.isNew) {
    const record = { audit, concluded: how.concluded, dataDir, log };
    await recover({ store, repos, renames, git, ...life, ...carriage }, record);
  }
  const lookup = new Lookup(store, () => live().default_namespace);
  const signIns = new SignIns(store, log);
  const access = new AccessControl(store, lookup, () => live().org_create);
  const pushes = new PushQueue(live()['limits.pushes_per_user']);
  return {
    get config() {
      return current;
    },
    log,
    store,
    access,
    audit,
    chain: new AuditChain({ store, audit, log }, dataDir),
    events: new Events(store, access),
    renames,
    ...life,
    ...disk,
    ...remembered(git),
    handover: new Handover(),
    sessions: new Sessions(),
    signIns,
    rules: new Rules({ store, access, git, lookup }),
    scripts: new HookScripts(git, dataDir),
    pushes,
    pairings: new Pairings(),
    ...carriage,
    emptyRepository: await makeEmpty(dataDir, store.houseId),
    ...placeOf(() => current),
    reconfigure: async () => {
      const reread = takeOver(current, await current.readAgain());
      current = reread.config;
      log.level = live().log_level;
      pushes.allow(live()['limits.pushes_per_user']);
      const { applied, waiting } = reread;
      log.info({ applied, waiting }, 'configuration read again');
      return reread;
    },
    close: async () => {
      await carriage.couriers.close();
      await mending.close();
      await sizes.flush();
      await signIns.flush();
      await audit.stop();
      await store.close();
    },
  };
}

/** What acts on the directories of repositories. */
async function openDisk(
  { store, log, dataDir }: { store: Store; log: Log; dataDir: string },
  live: () => Config['values'],
) {
  const git = await openGit({
    houseId: store.houseId,
    emptyHome: await ensureScratch(dataDir),
    killed: (directory) => mending.killed(directory),
  });
  const sizes = new Sizes(store, log);
  const room = new Room({ store, sizes, dataDir }, roomLimits(live));
  const locks = new Locks();
  const repos = new Repos(store, locks, { dataDir, room });
  const mending = new Mending({ store, repos, locks, log });
  return { git, locks, repos, room, sizes, mending };
}

/** What is kept in mind of repositories' files. */
function remembered(git: Git): Pick<Core, 'refAnswers' | 'newObjects'> {
  return { refAnswers: new RefAnswers(git), newObjects: new NewObjects() };
}

/** Where this server is reached. */
function placeOf(
  current: () => Config,
): Pick<Core, 'publicUrl' | 'cloneUrl' | 'sshPort' | 'setPort'> {
  let port = current().values.listen[0]?.port ?? 0;
  return {
    publicUrl: () => publicUrl(current(), port),
    cloneUrl: (fullName) => `${publicUrl(current(), port)}/${fullName}.git`,
    sshPort: () => port,
    setPort: (real) => {
      port = real;
    },
  };
}

/** @returns the absolute path of an empty bare repository */
async function makeEmpty(dataDir: string, repoId: string): Promise<string> {
  const path = join(dataDir, 'run', 'empty.git');
  await rm(path, { recursive: true, force: true });
  await initBare(path, { defaultBranch: 'main', repoId });
  return path;
}

/** What may be stored, by the settings as they are when that is asked. */
function roomLimits(live: () => Config['values']): RoomLimits {
  return {
    get diskReserveBytes() {
      return live()['limits.disk_reserve'];
    },
    get namespaceBytes() {
      return live()['limits.namespace_bytes'];
    },
    get reposPerUser() {
      return live()['limits.repos_per_user'];
    },
  };
}
