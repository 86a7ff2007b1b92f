import t from 'tap';
import { soak } from './campaigns/soak.ts';

// `npm run campaign -- soak` does the same with 10,000.
t.test('class, a server that grows by who merely knocks: 300 connections leave nothing', (t) =>
  soak(t, { connections: 300 }),
);
