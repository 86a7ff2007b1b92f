import t from 'tap';
import { attack } from '../campaigns/attack.ts';

// `npm run campaign -- attack` does the same with 10,000.
t.test(
  'S27 test 14: 300 failed sign-ins from 50 addresses cost a few rows, and nobody their push',
  (t) => attack(t, { signIns: 300, addresses: 50, atOnce: 40, timed: false }),
);
