import t from 'tap';
import { memory } from './campaigns/memory.ts';

t.test(
  'a push and a clone cost the server little memory, and a large one no more than a small one',
  (t) => memory(t, [40, 160]),
);
