import { planned } from '../arguments.ts';
import type { Transfer } from '../transfer.ts';
import { gate } from './gate.ts';

/** A push. */
export const receivePack: Transfer = {
  program: 'git-receive-pack',
  plan: (words) => ({ ...planned('git-receive-pack', words), right: 'write', talk: gate }),
};
