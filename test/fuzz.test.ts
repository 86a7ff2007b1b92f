import t from 'tap';
import { fuzzParsers, fuzzPort } from './campaigns/fuzz.ts';
import { fuzzPeer } from './campaigns/fuzz-peer.ts';

// `npm run campaign -- fuzz` does the same with 20,000 cases.
t.test('every parser reads 300 texts that nobody would type, or refuses them in words', (t) =>
  fuzzParsers(t, { texts: 300 }),
);

t.test('200 clients that are none, signed in or not, leave a server as well as it was', (t) =>
  fuzzPort(t, { streams: 100, messages: 50, commands: 50 }),
);

t.test('150 questions and 15 streams of a server that means harm are refused in words', (t) =>
  fuzzPeer(t, { cases: 150 }),
);
