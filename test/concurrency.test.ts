import t from 'tap';
import { anythingAtOnce, pushesAndClones, slowDisk } from './campaigns/concurrency.ts';
import { mayTrace } from './support/strace.ts';

t.test(
  'ten push to ten branches while ten clone: whatever was acknowledged is there, and all is whole',
  (t) => pushesAndClones(t, { clients: 10, rounds: 3 }),
);

t.test(
  'with commands, forced pushes and killed clients thrown in, nothing is lost and nothing left',
  (t) => anythingAtOnce(t, { clients: 8, rounds: 6 }),
);

const options = { skip: mayTrace() ? false : 'this account may not watch processes' };

t.test('a push does not pass one that is still being written down', options, slowDisk);
