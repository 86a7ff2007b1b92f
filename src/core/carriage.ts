import type { Git } from '../programs/git.ts';
import { Rsync } from '../programs/rsync.ts';
import type { Store } from '../store/store.ts';
import { SyncSessions } from './peering/sessions.ts';
import type { Room } from './room.ts';
import { KeptSnapshots } from './rsync/kept.ts';

/** What repositories are carried with, to other servers and by people's own rsync. */
export interface Carriage {
  readonly syncSessions: SyncSessions;
  readonly rsync: Rsync;
  readonly kept: KeptSnapshots;
}

export async function openCarriage({
  store,
  ...parts
}: {
  store: Store;
  git: Git;
  room: Room;
  dataDir: string;
}): Promise<Carriage> {
  const kept = new KeptSnapshots(parts);
  await kept.sweep(async (id) => (await store.repositories.byId(id)) !== undefined);
  return { syncSessions: new SyncSessions(parts.dataDir), rsync: new Rsync(), kept };
}
