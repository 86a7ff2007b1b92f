import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import t, { type Test } from 'tap';
import { call } from '../../src/core/neighbors/greet.ts';
import { localNetworks } from '../../src/core/neighbors/interfaces.ts';
import { lookAt, type Sighting } from '../../src/core/neighbors/look.ts';
import { scan } from '../../src/core/neighbors/scan.ts';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import {
  isSignedAnswer,
  isSignedQuestion,
  message,
  readMessage,
  signedAnswer,
  signedQuestion,
} from '../../src/model/hello.ts';
import { networkText } from '../../src/model/ipv4.ts';
import { pkt } from '../../src/model/pktline.ts';
import { readSigner, type Signer } from '../../src/model/signer.ts';

const { signal } = new AbortController();
const newSigner = () => readSigner(generateEd25519().privateKey);
const nonce = 'ab'.repeat(32);

t.test('of the interfaces those are left out behind which nobody else is', async (t) => {
  const one = (cidr: string | null, more: object = {}) => [
    { family: 'IPv4', internal: false, mac: '02:00:00:00:00:01', cidr, ...more },
  ];
  const { networks, left } = localNetworks({
    lo: one('127.0.0.1/8', { internal: true }),
    eth0: [...one('192.0.2.7/24'), ...one('198.51.100.9/20')],
    wlan0: [...one('10.1.2.3/16'), ...one('fd00::2/64', { family: 'IPv6' })],
    eth1: one('10.9.8.7/15'),
    eth2: one('203.0.113.4/31'),
    eth3: one('203.0.113.9/32'),
    eth4: one(null),
    eth5: one('10.0.0.1/4'),
    'br-lan': one('192.168.1.1/24'),
    'br-0123456789ab': one('172.18.0.1/16'),
    docker0: one('172.17.0.1/16'),
    veth12ab: one('169.254.1.1/24'),
    virbr0: one('192.168.122.1/24'),
    wg0: one('10.8.0.1/24'),
    tun3: one('10.8.1.1/24', { mac: '00:00:00:00:00:00' }),
    odd0: one('10.8.2.1/24', { mac: '00:00:00:00:00:00' }),
  } as unknown as Record<string, NetworkInterfaceInfo[]>);
  t.strictSame(networks.map(networkText), [
    '192.0.2.0/24',
    '198.51.96.0/20',
    '10.1.0.0/16',
    '192.168.1.0/24',
  ]);
  t.strictSame(left, [
    '10.8.0.0/15 (eth1): more than 65536 hosts',
    '203.0.113.4/31 (eth2): point-to-point',
    '203.0.113.9/32 (eth3): point-to-point',
    '10.0.0.0/8 (eth5): more than 65536 hosts',
    '172.18.0.0/16 (br-0123456789ab): of containers or virtual machines',
    '172.17.0.0/16 (docker0): of containers or virtual machines',
    '169.254.1.0/24 (veth12ab): of containers or virtual machines',
    '192.168.122.0/24 (virbr0): of containers or virtual machines',
    '10.8.0.0/24 (wg0): point-to-point',
    '10.8.1.0/24 (tun3): point-to-point',
    '10.8.2.0/24 (odd0): point-to-point',
  ]);
});

t.test('so many are looked at at once as told, and more only while all is silent', async (t) => {
  const play = async (kinds: readonly Sighting['kind'][], pace: object = {}) => {
    let [open, most, next] = [0, 0, 0];
    const look = async (): Promise<Sighting> => {
      const kind = kinds[next++ % kinds.length] as 'silent';
      open += 1;
      most = Math.max(most, open);
      await new Promise(setImmediate);
      open -= 1;
      return { kind };
    };
    const hosts = Array.from({ length: 1000 }, (_, nth) => `host-${nth}`);
    let heard = 0;
    const how = { parallel: 50, most: 200, signal, ...pace };
    for await (const _ of scan(hosts.values(), look, how)) heard += 1;
    return { heard, most };
  };
  t.strictSame(await play(['closed']), { heard: 1000, most: 50 }, 'where somebody answers');
  t.strictSame(await play(['silent']), { heard: 1000, most: 200 }, 'where nobody does');
  t.strictSame(await play(['silent'], { most: 50 }), { heard: 1000, most: 50 }, 'as told');
  const ended = AbortSignal.abort();
  t.strictSame(await play(['silent'], { signal: ended }), { heard: 0, most: 0 }, 'interrupted');
});

/** Whoever answers there, and how many bytes could be sent to the one who looks. */
async function strange(t: Test, answer: (socket: Socket) => void) {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    answer(socket);
  });
  t.teardown(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

t.test('who never ends, or never says all, costs a little time and a little memory', async (t) => {
  const helloOf = (signer: Signer) =>
    message('cpm-hello', {
      ...{ protocol: 1, name: 'x', version: '1', ssh_port: 22, status: 'serving' },
      ...{ public_repositories: 0, key: signer.publicKey.blob.toString('base64'), nonce },
    });
  let taken = 0;
  const flood = (socket: Socket) => {
    const more = () => {
      taken += 65536;
      if (!socket.destroyed) socket.write(Buffer.alloc(65536, 0x61), more);
    };
    more();
  };
  const hosts: Record<string, [Sighting['kind'], (socket: Socket) => void]> = {
    'an endless line': ['odd', flood],
    'endless bytes in the longest packet': [
      'odd',
      (socket) => {
        socket.write('fff0cpm-hello {');
        flood(socket);
      },
    ],
    'a packet that trickles': [
      'odd',
      (socket) => {
        socket.write('0100cpm-hello {"');
        const timer = setInterval(() => socket.write('a'), 20);
        socket.once('close', () => clearInterval(timer));
      },
    ],
    'a hello without its signature': [
      'odd',
      (socket) => void socket.write(pkt(helloOf(newSigner()))),
    ],
    'a hello with a signature of another key': [
      'forged',
      (socket) => {
        const [, signature = Buffer.alloc(0)] = signedAnswer(
          newSigner(),
          'hello',
          nonce,
          helloOf(newSigner()),
        );
        socket.end(Buffer.concat([pkt(helloOf(newSigner())), pkt(signature)]));
      },
    ],
    'a nest of brackets': [
      'odd',
      (socket) => void socket.end(pkt(`cpm-hello {"key":${'['.repeat(60_000)}`)),
    ],
    'flush after flush': [
      'odd',
      (socket) => {
        socket.on('close', () => undefined);
        socket.write('0000'.repeat(1000));
      },
    ],
  };
  for (const [name, [kind, answer]] of Object.entries(hosts)) {
    taken = 0;
    const port = await strange(t, answer);
    const begun = performance.now();
    const sighting = await lookAt({ host: '127.0.0.1', port, timeoutMs: 300, signal });
    t.equal(sighting.kind, kind, name);
    t.ok(performance.now() - begun < 5000, name);
    // What the system's own buffers hold; nobody reads on.
    t.ok(taken < 16 * 1024 * 1024, `${name}: ${taken} bytes`);
  }
});

t.test('a server of another protocol is told from what is none, and how to go on', async (t) => {
  const says = (fields: object) =>
    strange(
      t,
      (socket) => void socket.end(pkt(message('cpm-error', { code: 'usage', ...fields }))),
    );
  const where = { host: '127.0.0.1', timeoutMs: 2000, signal };
  const port = await says({ message: 'protocol 2 is spoken here', protocols: [2, 3] });
  t.match(await lookAt({ ...where, port }), { kind: 'other-protocol' });
  await t.rejects(call({ ...where, port }), {
    code: 'unavailable',
    message: `127.0.0.1:${port} speaks protocol 2, 3 of neighbors, and this server 1`,
    hint: 'update the older one of the two',
  });
  for (const protocols of [[], ['2'], '2', [1, 2], [2.5], null]) {
    const other = await says({ protocols });
    t.match(await lookAt({ ...where, port: other }), { kind: 'odd' }, JSON.stringify(protocols));
  }
});

t.test('S20 what is signed for one server, use or role is worth nothing to another', async (t) => {
  const [caller, server, other] = [newSigner(), newSigner(), newSigner()];
  const { blob: key } = caller.publicKey;
  const asked = signedQuestion(caller, nonce, server.publicKey.blob);
  const about = { key, nonce, server: server.publicKey.blob };
  t.ok(isSignedQuestion(asked, about));
  t.notOk(isSignedQuestion(asked, { ...about, server: other.publicKey.blob }), 'passed on');
  t.notOk(isSignedQuestion(asked, { ...about, nonce: 'cd'.repeat(32) }), 'replayed');
  const [answer = Buffer.alloc(0), second] = signedAnswer(
    server,
    'names',
    nonce,
    message('cpm-names', { names: [] }),
  );
  const signature = second && readMessage(second)?.fields['signature'];
  const said = { key: server.publicKey.blob, nonce, text: String(answer), signature };
  t.ok(isSignedAnswer('names', said));
  t.notOk(isSignedAnswer('hello', said), 'for another use');
  t.notOk(
    isSignedQuestion(String(signature), { key: said.key, nonce, server: said.key }),
    'reflected',
  );
});

t.test('a hello that another server signed at this moment tells that one, no more', async (t) => {
  const signer = newSigner();
  const honest = await strange(t, (socket) => {
    socket.once('data', (bytes: Buffer) => {
      const asked = readMessage(bytes.subarray(4));
      const said = message('cpm-hello', {
        ...{ protocol: 1, name: 'beta', version: '1', ssh_port: 22, status: 'serving' },
        ...{ public_repositories: 0, key: signer.publicKey.blob.toString('base64'), nonce },
      });
      const packets = signedAnswer(signer, 'hello', String(asked?.fields['nonce']), said);
      socket.end(Buffer.concat(packets.map(pkt)));
    });
  });
  const between = await strange(t, (socket) => {
    const onward = connect({ port: honest, host: '127.0.0.1' });
    onward.on('error', () => undefined);
    socket.pipe(onward).pipe(socket);
  });
  const found = await lookAt({ host: '127.0.0.1', port: between, timeoutMs: 2000, signal });
  if (found.kind !== 'cpm') throw new Error(found.kind);
  t.ok(found.hello.key.equals(signer.publicKey.blob), 'not the key of who stands between');
});
