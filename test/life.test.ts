import t from 'tap';
import { life } from './campaigns/life.ts';

t.test(
  'pushes, forced pushes, deletions, merges, undos, renames and the trash, with kill -9 in between: nothing acknowledged is lost',
  (t) => life(t, { steps: 50, kills: 3 }),
);
