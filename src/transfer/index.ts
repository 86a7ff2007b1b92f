import { join } from './join.ts';
import { receivePack } from './receive-pack/plan.ts';
import { rsync } from './rsync.ts';
import { sync } from './sync.ts';
import type { PeerTransfer, Transfer } from './transfer.ts';
import { uploadArchive } from './upload-archive.ts';
import { uploadPack } from './upload-pack/plan.ts';

/** Every transfer protocol, by the program that clients ask for. */
export const transfers: readonly Transfer[] = [uploadPack, receivePack, uploadArchive];

/** What servers ask each other for, by program. */
export const peerTransfers: readonly PeerTransfer[] = [sync, rsync, join];
