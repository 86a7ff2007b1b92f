import type { Config } from '../config.ts';
import type { Git } from '../programs/git.ts';
import type { Store } from '../store/store.ts';
import { Adoption } from './adopt.ts';
import { Housekeeping } from './housekeeping.ts';
import { Imports } from './imports.ts';
import type { Locks } from './locks.ts';
import type { Repos } from './repos.ts';
import type { Room } from './room.ts';
import type { KeptSnapshots } from './rsync/kept.ts';
import type { Sizes } from './sizes.ts';
import { TrashCan } from './trash.ts';

interface LifeParts {
  readonly store: Store;
  readonly repos: Repos;
  readonly git: Git;
  readonly locks: Locks;
  readonly room: Room;
  readonly sizes: Sizes;
  readonly kept: KeptSnapshots;
  readonly dataDir: string;
  /** The settings in force. */
  live(): Config['values'];
}

/** How repositories come in whole, and how they go. */
export interface Life {
  readonly locks: Locks;
  readonly trash: TrashCan;
  readonly imports: Imports;
  readonly adoption: Adoption;
  readonly housekeeping: Housekeeping;
}

export function openLife(parts: LifeParts): Life {
  const packSizeBytes = () => parts.live()['limits.pack_size'];
  return {
    locks: parts.locks,
    trash: new TrashCan(parts),
    imports: new Imports({ ...parts, packSizeBytes }),
    adoption: new Adoption(parts),
    housekeeping: new Housekeeping(parts),
  };
}
