import t from 'tap';
import { Census, plainAddress } from '../../../src/doors/ssh/census.ts';
import { usualLimits } from './house.ts';

t.test('an IPv4 address counts alone, an IPv6 address with its /64', async (t) => {
  const rows: [string, string, boolean][] = [
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2', true],
    ['2001:db8:0:1::1', '2001:0db8:0:0001:1:2:3:4', true],
    ['2001:db8::1', '2001:db8:0:0:5:6:7:8', true],
    ['2001:db8:0:1::1', '2001:db8:0:2::1', false],
    ['::1', '::2', true],
    ['fe80::1%eth0', 'fe80::2%eth0', true],
    ['::1', '192.0.2.1', false],
  ];
  for (const [first, second, together] of rows) {
    const census = new Census(() => ({ ...usualLimits, unauthenticatedPerAddress: 1 }));
    census.arrive(first);
    t.equal(census.refusal(second) !== undefined, together, `${first} ${second}`);
    census.signInEnded(first);
    census.leave(undefined);
    t.equal(census.refusal(second), undefined, 'and no longer when it has gone');
  }
});

t.test('an IPv4 address that came through an IPv6 socket is an IPv4 address', async (t) => {
  t.equal(plainAddress('::ffff:192.0.2.1'), '192.0.2.1');
  t.equal(plainAddress('::FFFF:192.0.2.1'), '192.0.2.1');
  t.equal(plainAddress('2001:db8::1'), '2001:db8::1');
});
