import { measureSpace } from '../space.ts';
import type { Asked } from './asked.ts';
import { ownRsync } from './carry.ts';
import type { Caps } from './protocol.ts';

/** What this server says of itself. */
export async function answerCaps({ core }: Pick<Asked, 'core'>): Promise<Caps> {
  return {
    protocol: 1,
    houseId: core.store.houseId,
    git: core.git.version,
    rsync: (await ownRsync(core)) ?? null,
    freeBytes: (await measureSpace(core.config)).freeBytes,
    roomBytes: await core.room.forPack(),
    at: new Date().toISOString(),
  };
}
