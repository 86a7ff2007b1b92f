import t from 'tap';
import { inPushes } from './campaigns/crash.ts';
import { inCommands, inFirstStarts } from './campaigns/crash-commands.ts';
import { mayTrace } from './support/strace.ts';

const options = { skip: mayTrace() ? false : 'this account may not watch processes' };

t.test(
  'kill -9 in each phase of a push: what was acknowledged is there, and nothing is left',
  options,
  (t) => inPushes(t, 2),
);

t.test('kill -9 within a command: it is done or not done, and can be done again', options, (t) =>
  inCommands(t, 17),
);

t.test('S7 kill -9 in a first start: the next start makes the house anew', options, (t) =>
  inFirstStarts(t, 13),
);
