import { planned } from '../arguments.ts';
import type { Transfer } from '../transfer.ts';
import { uploadPackTalk } from './talk.ts';

/** Clone, fetch, ls-remote: protocol v0, v1 or v2, whichever the client asks for. */
export const uploadPack: Transfer = {
  program: 'git-upload-pack',
  plan: (words) => ({
    ...planned('git-upload-pack', words),
    right: 'read',
    talk: uploadPackTalk,
  }),
};
