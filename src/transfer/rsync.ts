import { UserError } from '../model/errors.ts';
import { rsyncVersion, startRsyncServer } from '../programs/rsync.ts';
import { passStreams, statusOf } from './pass.ts';
import { readRsyncWords } from './rsync-words.ts';
import type { PeerTransfer } from './transfer.ts';

/** The first rsync that can be confined to a directory. */
const confinable = 3.5;

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
        const version = await rsyncVersion();
        if (version === undefined) throw new UserError('unavailable', 'there is no rsync here');
        const server = await core.store.servers.byId(principal.id);
        const bytes = Math.min(
          server?.bandwidth ?? Number.POSITIVE_INFINITY,
          core.config.values['sync.bandwidth'],
        );
        const child = startRsyncServer(request, session.directory, {
          confine: Number.parseFloat(version) >= confinable,
          bandwidthKib: Number.isFinite(bytes) ? Math.max(1, Math.floor(bytes / 1024)) : undefined,
        });
        const exit = await passStreams(child, { stdio, signal, directory: session.directory });
        return { status: statusOf(exit), detail: { direction } };
      },
    };
  },
};
