import t from 'tap';
import { packageOf } from '../campaigns/packaging.ts';

t.test(
  'what npm packs is a whole program: it compiles its parts, serves, takes a push and a clone',
  (t) => packageOf(t, { byNpm: false }),
);
