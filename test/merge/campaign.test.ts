import t from 'tap';
import { merges } from '../campaigns/merge.ts';

t.test("the server's merges make the trees that a work tree's make", (t) =>
  merges(t, { histories: 10 }),
);
