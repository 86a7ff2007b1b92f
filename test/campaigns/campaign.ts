import t, { type Test } from 'tap';
import { attack } from './attack.ts';
import { fuzzBeacon } from './beacon.ts';
import { anythingAtOnce, oneBranch, pushesAndClones, slowDisk } from './concurrency.ts';
import { inPushes } from './crash.ts';
import { inCommands, inFirstStarts } from './crash-commands.ts';
import { fuzzParsers, fuzzPort } from './fuzz.ts';
import { fuzzPeer } from './fuzz-peer.ts';
import { sameTime } from './hidden-time.ts';
import { life } from './life.ts';
import { memory } from './memory.ts';
import { merges } from './merge.ts';
import { archive, packageOf } from './packaging.ts';
import { promotes } from './promote.ts';
import { restarts } from './restart.ts';
import { faultsNoticed } from './rights.ts';
import { sandbox } from './sandbox.ts';
import { soak } from './soak.ts';
import { syncs } from './sync.ts';

/** By name, each with how it is run at length. */
const campaigns: readonly (readonly [string, string, (t: Test) => Promise<void>])[] = [
  ['memory', 'a push and a clone of 100 MB and of 400 MB', (t) => memory(t, [100, 400])],
  [
    'concurrency',
    'twenty rounds of ten pushes and ten clones at once',
    (t) => pushesAndClones(t, { clients: 10, rounds: 20 }),
  ],
  [
    'concurrency',
    'commands, forced pushes and killed clients thrown in',
    (t) => anythingAtOnce(t, { clients: 10, rounds: 40 }),
  ],
  ['concurrency', 'ten force one branch', (t) => oneBranch(t, { clients: 10, rounds: 20 })],
  ['concurrency', 'a push that takes long to be written down', slowDisk],
  ['crash', 'twenty kills in each phase of a push', (t) => inPushes(t, 20)],
  ['crash', 'a kill at each place of each command', (t) => inCommands(t, 1)],
  ['crash', 'a kill at each place of a first start', (t) => inFirstStarts(t, 1)],
  ['life', '1,000 steps of four clients, forty kills', (t) => life(t, { steps: 1000, kills: 40 })],
  ['fuzz', '12,000 texts for the parsers', (t) => fuzzParsers(t, { texts: 12_000 })],
  [
    'fuzz',
    '8,000 cases at the port',
    (t) => fuzzPort(t, { streams: 6000, messages: 1000, commands: 1000 }),
  ],
  ['fuzz', '5,000 questions of another server', (t) => fuzzPeer(t, { cases: 5000 })],
  [
    'beacon',
    '10,000 callers and answers on the network',
    (t) => fuzzBeacon(t, { streams: 7000, answers: 3000, crowd: 18 }),
  ],
  ['rights', 'each fault of the code is noticed', (t) => faultsNoticed(t, { every: 1 })],
  [
    'rights',
    'what is hidden takes no longer to answer than what is missing',
    (t) => sameTime(t, { rounds: 1000 }),
  ],
  ['merge', '200 histories, merged as in a work tree', (t) => merges(t, { histories: 200 })],
  [
    'sync',
    '1,000 runs between two servers, 400 deaths',
    (t) => syncs(t, { runs: 1000, kills: 400 }),
  ],
  [
    'promote',
    'twenty deaths while the lead goes to and fro between two servers',
    (t) => promotes(t, { kills: 20 }),
  ],
  ['packaging', 'npm run dist, without a network', archive],
  ['packaging', 'npm pack, installed by npm', (t) => packageOf(t, { byNpm: true })],
  [
    'sandbox',
    'twenty restarts of the service, shut in by a real systemd',
    (t) => sandbox(t, { restarts: 20 }),
  ],
  ['restart', 'fifty restarts under load', (t) => restarts(t, { count: 50, clients: 4 })],
  ['soak', '10,000 short connections', (t) => soak(t, { connections: 10_000 })],
  [
    'attack',
    '10,000 failed sign-ins',
    (t) => attack(t, { signIns: 10_000, addresses: 50, atOnce: 40, timed: true }),
  ],
];

const wanted = process.argv.slice(2);
for (const [name, title, play] of campaigns) {
  if (wanted.length === 0 || wanted.includes(name)) t.test(`${name}: ${title}`, play);
}
