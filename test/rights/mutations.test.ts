import t from 'tap';
import { faultsNoticed } from '../campaigns/rights.ts';

t.test('a single fault in the rights code is noticed by the table of rights', (t) =>
  faultsNoticed(t, { every: 4 }),
);
