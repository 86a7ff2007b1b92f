import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, publicUrl } from '../config.ts';
import type { Log } from '../log.ts';
import { initBare } from '../programs/bare.ts';
import { type Git, openGit } from '../programs/git.ts';
import { openStore, type Store } from '../store/store.ts';
import { AccessControl } from './access.ts';
import { Adoption } from './adopt.ts';
import { Audit } from './audit.ts';
import { AuditChain } from './audit-chain.ts';
import { Events } from './events.ts';
import { HookScripts } from './hook-scripts.ts';
import { ensureScratch } from './house.ts';
import { Imports } from './imports.ts';
import { Locks } from './locks.ts';
import { Lookup } from './lookup.ts';
import { PushQueue } from './push-queue.ts';
import { recover } from './recovery.ts';
import { Repos } from './repos.ts';
import { Room } from './room.ts';
import { Rules } from './rules.ts';
import { Sessions } from './sessions.ts';
import { SignIns } from './sign-ins.ts';
import { Sizes } from './sizes.ts';
import { TrashCan } from './trash.ts';

/** Everything that acts on one data directory. One process has it at a time. */
export interface Core {
  readonly config: Config;
  readonly log: Log;
  readonly store: Store;
  readonly access: AccessControl;
  readonly audit: Audit;
  readonly chain: AuditChain;
  readonly events: Events;
  readonly repos: Repos;
  readonly trash: TrashCan;
  readonly imports: Imports;
  readonly adoption: Adoption;
  readonly git: Git;
  readonly sessions: Sessions;
  readonly signIns: SignIns;
  readonly sizes: Sizes;
  readonly room: Room;
  readonly rules: Rules;
  readonly scripts: HookScripts;
  readonly pushes: PushQueue;
  /** An empty bare repository: what a push to a missing one is advertised. */
  readonly emptyRepository: string;
  /** The base of clone URLs, without a slash at its end. */
  cloneUrl(fullName: string): string;
  /** The door's real port, once it is known. */
  setPort(port: number): void;
  close(): Promise<void>;
}

/**
 * Opens a complete data directory that this process has locked, and cleans up after a crash.
 *
 * @param seen - hears every SQL text that runs
 */
export async function openCore(
  config: Config,
  log: Log,
  seen?: (sql: string) => void,
): Promise<Core> {
  const { dataDir, values } = config;
  const emptyHome = await ensureScratch(dataDir);
  const store = await openStore(config.databasePath, seen);
  const git = await openGit({ houseId: store.houseId, emptyHome });
  const audit = new Audit(store, log);
  const sizes = new Sizes(store, log);
  const room = new Room(
    { store, sizes, dataDir },
    {
      diskReserveBytes: values['limits.disk_reserve'],
      namespaceBytes: values['limits.namespace_bytes'],
      reposPerUser: values['limits.repos_per_user'],
    },
  );
  const locks = new Locks();
  const repos = new Repos(store, locks, { dataDir, room });
  const trash = new TrashCan({ store, repos, locks, room, sizes, dataDir });
  await recover({ store, repos, trash, git }, { dataDir, audit, log });
  const emptyRepository = join(dataDir, 'run', 'empty.git');
  await rm(emptyRepository, { recursive: true, force: true });
  await initBare(emptyRepository, { defaultBranch: 'main', repoId: store.houseId });
  const lookup = new Lookup(store, values.default_namespace);
  const signIns = new SignIns(store, log);
  const access = new AccessControl(store, lookup, values.org_create);
  let port = values.listen[0]?.port ?? 0;
  return {
    config,
    log,
    store,
    access,
    audit,
    chain: new AuditChain({ store, audit, log }, dataDir),
    events: new Events(store, access),
    repos,
    trash,
    adoption: new Adoption({ store, repos, git, locks, sizes, dataDir }),
    imports: new Imports({
      store,
      repos,
      git,
      room,
      sizes,
      dataDir,
      packSizeBytes: values['limits.pack_size'],
    }),
    git,
    sessions: new Sessions(),
    signIns,
    sizes,
    room,
    rules: new Rules({ store, access, git, lookup }),
    scripts: new HookScripts(git, dataDir),
    pushes: new PushQueue(values['limits.pushes_per_user']),
    emptyRepository,
    cloneUrl: (fullName) => `${publicUrl(config, port)}/${fullName}.git`,
    setPort: (real) => {
      port = real;
    },
    close: async () => {
      await sizes.flush();
      await signIns.flush();
      await audit.stop();
      await store.close();
    },
  };
}
