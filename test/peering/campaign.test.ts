import t from 'tap';
import { syncs } from '../campaigns/sync.ts';

t.test('servers that both are written to lose nothing when one dies in a run', (t) =>
  syncs(t, { runs: 20, kills: 5 }),
);
