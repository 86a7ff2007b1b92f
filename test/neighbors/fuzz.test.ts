import t from 'tap';
import { fuzzBeacon } from '../campaigns/beacon.ts';

// `npm run campaign -- beacon` does the same with 10,000 cases.
t.test('300 callers and answers that are none leave both sides as well as they were', (t) =>
  fuzzBeacon(t, { streams: 200, answers: 100, crowd: 23 }),
);
