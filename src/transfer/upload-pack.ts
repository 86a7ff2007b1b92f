import { planned } from './arguments.ts';
import { pass } from './pass.ts';
import type { Transfer } from './transfer.ts';

/** Clone, fetch, ls-remote: protocol v0, v1 or v2, whichever the client asks for. */
export const uploadPack: Transfer = {
  program: 'git-upload-pack',
  plan: (words) => ({
    ...planned('git-upload-pack', words),
    right: 'read',
    talk: (talk) => pass(talk, ['upload-pack', '--strict', '.']),
  }),
};
