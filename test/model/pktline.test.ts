import t from 'tap';
import { UserError } from '../../src/model/errors.ts';
import { flushPkt, longestPayload, pkt, readPkt, sideband } from '../../src/model/pktline.ts';

t.test('packets read as git writes them', (t) => {
  const table: [string, unknown][] = [
    ['0006a\n', { pkt: { kind: 'data', payload: Buffer.from('a\n') }, next: 6 }],
    ['0005a0000', { pkt: { kind: 'data', payload: Buffer.from('a') }, next: 5 }],
    ['000Aabcdef', { pkt: { kind: 'data', payload: Buffer.from('abcdef') }, next: 10 }],
    ['0004', { pkt: { kind: 'data', payload: Buffer.alloc(0) }, next: 4 }],
    ['0000', { pkt: { kind: 'flush' }, next: 4 }],
    ['0001', { pkt: { kind: 'delim' }, next: 4 }],
    ['0002', { pkt: { kind: 'response-end' }, next: 4 }],
    ['', undefined],
    ['00', undefined],
    ['0006a', undefined],
    ['fff0', undefined],
  ];
  for (const [bytes, expected] of table) t.same(readPkt(Buffer.from(bytes)), expected, bytes);
  t.same(readPkt(Buffer.from('xx0000'), 2), { pkt: { kind: 'flush' }, next: 6 });
  t.end();
});

t.test('a length that is none is refused at once, with what and why', (t) => {
  const table: [string, RegExp][] = [
    ['0003', /"0003" is the length of no packet/],
    ['fff1', /65521 bytes; 65520 is the longest/],
    ['ffff', /65535 bytes/],
    ['G', /byte 0x47 where a packet's length belongs/],
    ['00-1', /byte 0x2d/],
    ['0x10', /byte 0x78/],
    [' 004', /byte 0x20/],
    ['\0', /byte 0x00/],
  ];
  for (const [bytes, message] of table) {
    t.throws(() => readPkt(Buffer.from(bytes)), { code: 'usage', message }, bytes);
  }
  t.end();
});

t.test(
  '500 streams of random bytes: a packet, a refusal or a wish for more, never anything else',
  (t) => {
    const random = randomFrom(7);
    let packets = 0;
    for (let nth = 0; nth < 500; nth++) {
      const parts = Array.from({ length: random(6) }, () => {
        const kind = random(8);
        if (kind < 5) return pkt(Buffer.alloc(random(20), 'p'));
        if (kind === 5) return Buffer.from(`000${random(4)}`);
        return Buffer.from(Array.from({ length: random(8) }, () => random(256)));
      });
      const bytes = Buffer.concat(parts).subarray(0, random(80));
      for (let at = 0; at <= bytes.length; ) {
        const whole = attempt(() => readPkt(bytes, at));
        if (whole instanceof UserError || whole === undefined) break;
        t.ok(whole.next > at && whole.next <= bytes.length);
        if (whole.pkt.kind === 'data') t.equal(whole.pkt.payload.length, whole.next - at - 4);
        t.same(readPkt(bytes.subarray(0, whole.next), at), whole, 'bytes behind it change nothing');
        at = whole.next;
        packets += 1;
      }
    }
    t.ok(packets > 50, `${packets} packets among them`);
    t.end();
  },
);

t.test('what is written reads back, and no packet is too long', (t) => {
  const text = Buffer.alloc(longestPayload, 'x');
  t.same(readPkt(pkt(text)), { pkt: { kind: 'data', payload: text }, next: longestPayload + 4 });
  t.throws(() => pkt(Buffer.alloc(longestPayload + 1)), RangeError);
  const long = Buffer.alloc(200_000, 'y');
  let bytes = sideband(2, long);
  const parts: Buffer[] = [];
  while (bytes.length > 0) {
    const read = readPkt(bytes);
    if (read?.pkt.kind !== 'data') throw new Error('data packets only');
    t.equal(read.pkt.payload[0], 2);
    parts.push(read.pkt.payload.subarray(1));
    bytes = bytes.subarray(read.next);
  }
  t.ok(Buffer.concat(parts).equals(long));
  t.equal(sideband(1, Buffer.alloc(0)).length, 0);
  t.same(readPkt(flushPkt)?.pkt, { kind: 'flush' });
  t.end();
});

function attempt<T>(act: () => T): T | UserError {
  try {
    return act();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

/** The same numbers each time, so that what fails once can be looked at again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
