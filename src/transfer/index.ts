import { receivePack } from './receive-pack/plan.ts';
import type { Transfer } from './transfer.ts';
import { uploadArchive } from './upload-archive.ts';
import { uploadPack } from './upload-pack.ts';

/** Every transfer protocol, by the program that clients ask for. */
export const transfers: readonly Transfer[] = [uploadPack, receivePack, uploadArchive];
