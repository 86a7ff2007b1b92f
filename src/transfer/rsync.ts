import { kibOf } from '../core/peering/carry.ts';
import { UserError } from '../model/errors.ts';
import { startRsyncServer } from '../programs/rsync.ts';
import { guardSize } from '../programs/size.ts';
import { passStreams, statusOf } from './pass.ts';
import { readRsyncWords } from './rsync-words.ts';
import type { PeerTransfer } from './transfer.ts';

/** The first rsync that can be confined to a directory. */
export const confinable = 3.5;

/** rsync between servers: on the files of one session of the server that asks, and on nothing else (S24). */
export const rsync: PeerTransfer = {
  program: 'rsync',
  plan: (words) => {
    const request = readRsyncWords(words);
    const direction = request.sender ? 'out' : 'in';
    return {
      right: 'peer',
      action: 'rsync',
      talk: async ({ core, principal, stdio, signal }) => {
        const session = core.syncSessions.find(request.token, principal.id, direction);
        const version = await core.rsync.version();
        if (version === undefined) throw new UserError('unavailable', 'there is no rsync here');
        const server = await core.store.servers.byId(principal.id);
        const bytes = Math.min(
          server?.bandwidth ?? Number.POSITIVE_INFINITY,
          core.config.values['sync.bandwidth'],
        );
        const child = startRsyncServer(request, session.directory, {
          confine: Number.parseFloat(version) >= confinable,
          bandwidthKib: kibOf(bytes),
          houseId: core.store.houseId,
        });
        const { directory, limitBytes } = session;
        const reserveBytes = request.sender ? 0 : core.room.limits.diskReserveBytes;
        // rsync knows no bound of its own.
        const bounds = { directory, limitBytes, reserveBytes };
        const release = guardSize(bounds, () => child.end());
        try {
          const exit = await passStreams(child, { stdio, signal, directory });
          return { status: statusOf(exit), detail: { direction } };
        } finally {
          release();
        }
      },
    };
  },
};
