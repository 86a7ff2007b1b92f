import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import type { Test } from 'tap';
import { lookAt } from '../../src/core/neighbors/look.ts';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { message, readMessage, signedAnswer } from '../../src/model/hello.ts';
import { pkt } from '../../src/model/pktline.ts';
import { readSigner } from '../../src/model/signer.ts';
import { mostUnconfirmed } from '../../src/store/neighbors.ts';
import { beaconConfig, beaconPort, tell } from '../support/beacon.ts';
import { House } from '../support/house.ts';
import { type Dice, dice } from './dice.ts';
import { mangled } from './fuzz-parsers.ts';

/** How many streams a beacon gets, and how many answers the reader of hellos. */
export interface BeaconCases {
  readonly streams: number;
  readonly answers: number;
  /** The prefix of a network in which each address is a server of its own, with a key that was made up for it. */
  readonly crowd: number;
}

/** A beacon gets what nobody would send, and who looks around is told what nobody would say: both are as well as before. */
export async function fuzzBeacon(t: Test, { streams, answers, crowd }: BeaconCases): Promise<void> {
  const limits = 'limits: {login_grace: 5s, unauthenticated_per_address: 60}\n';
  const house = await House.open(t, { config: `${beaconConfig}${limits}` });
  const port = beaconPort(house);
  const chance = dice();
  t.comment(`CPM_SEED=${chance.seed}`);
  await house.admin.ssh('init app --visibility public');
  const nonce = 'ab'.repeat(32);
  const hello = pkt(message('cpm-hello', { protocol: 1, oldest: 1, nonce }));
  const pair = pkt(message('cpm-pair', { step: 'commit', from: {}, commit: nonce }));
  const seeds = [
    hello,
    Buffer.concat([hello, pair]),
    Buffer.concat([hello, pkt(message('cpm-names', { key: 'AAAA', signature: 'x' }))]),
    pkt('git-upload-pack /ada/app.git\0host=localhost\0\0version=2\0'),
    Buffer.concat([
      pkt('git-upload-pack /ada/app.git\0host=localhost\0\0version=2\0'),
      ...['command=ls-refs\n', 'agent=git/2.39.5', 'object-format=sha1'].map((line) => pkt(line)),
      Buffer.from('0001'),
      ...['peel\n', 'symrefs\n', 'ref-prefix refs/heads/\n'].map((line) => pkt(line)),
      Buffer.from('00000000'),
    ]),
    Buffer.concat([
      pkt('git-upload-pack /ada/app.git\0host=localhost\0\0version=1\0'),
      Buffer.from(`0032want ${'ab'.repeat(20)}\n00000009done\n`),
    ]),
    Buffer.concat([
      pkt('git-upload-archive /ada/app\0'),
      pkt('argument HEAD\n'),
      Buffer.from('0000'),
    ]),
  ] as const;
  const answer = await tell(port, hello);
  const play = async (count: number) => {
    for (let done = 0; done < count; done += 25) {
      const some = Array.from({ length: Math.min(25, count - done) }, () =>
        tell(port, mangled(chance, chance.pick([...seeds]))),
      );
      await Promise.all(some);
    }
  };
  const { pid } = house;
  await play(Math.ceil(streams * 0.2));
  const before = residentKilobytes(pid);
  await play(Math.floor(streams * 0.8));

  t.equal(house.pid, pid, 'the server lives');
  t.match((await tell(port, hello)).toString(), /^[0-9a-f]{4}cpm-hello /, 'and answers');
  t.notMatch(house.stderr, /"level":(50|60)|[Uu]ncaught|Unhandled/, 'nothing was its fault');
  const after = residentKilobytes(pid);
  t.comment(`resident: ${before} KB after a fifth, ${after} KB at the end`);
  if (streams >= 1000) t.ok(after < before * 1.2, 'memory is back within 20 %');
  await readAnswers(t, chance, { answer, count: answers });
  await meetCrowd(t, house, crowd);
}

/** Whoever makes up servers by the thousand fills neither the registry nor the memory of one who looks around. */
async function meetCrowd(t: Test, house: House, prefix: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (bytes: Buffer) => {
      const nonce = String(readMessage(bytes.subarray(4))?.fields['nonce']);
      const signer = readSigner(generateEd25519().privateKey);
      const hello = message('cpm-hello', {
        ...{ protocol: 1, name: 'alpha', version: '1', ssh_port: 22, status: 'serving', nonce },
        ...{ public_repositories: 1, key: signer.publicKey.blob.toString('base64') },
      });
      socket.end(Buffer.concat(signedAnswer(signer, 'hello', nonce, hello).map(pkt)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  const { port } = server.address() as AddressInfo;
  const hosts = 2 ** (32 - prefix) - 2;
  const before = residentKilobytes(house.pid);
  const words = `neighbors discover --network 127.77.0.0/${prefix} --port ${port} --add --json`;
  const { status, stdout, stderr } = await house.operator(words);
  server.close();
  t.equal(status, 0, stderr);
  t.match(stderr, `${hosts} addresses: ${hosts} cpm servers`);
  t.match(stderr, `${hosts - mostUnconfirmed} more were not added`);
  t.equal((JSON.parse(stdout) as unknown[]).length, hosts, 'each is told of');
  const listed = JSON.parse((await house.operator('neighbors list --json')).stdout) as unknown[];
  t.equal(listed.length, mostUnconfirmed, 'a few are kept');
  const grown = residentKilobytes(house.pid) - before;
  t.comment(`resident: ${grown} KB more after ${hosts} made-up servers`);
  t.ok(grown < 32 * 1024, 'memory does not grow with them');
}

/** Answers of a server that nobody signed for this caller: none is taken for a cpm server. */
async function readAnswers(
  t: Test,
  chance: Dice,
  { answer, count }: { answer: Buffer; count: number },
): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    socket.end(chance.below(10) === 0 ? answer : mangled(chance, answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const { signal } = new AbortController();
  const kinds = new Map<string, number>();
  for (let nth = 0; nth < count; nth += 1) {
    const { kind } = await lookAt({ host: '127.0.0.1', port, timeoutMs: 2000, signal });
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  server.close();
  t.comment(`answers: ${[...kinds].map(([kind, times]) => `${times} ${kind}`).join(', ')}`);
  t.notOk(kinds.has('cpm'), 'no server was found among them');
}

function residentKilobytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
