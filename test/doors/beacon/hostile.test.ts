import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import {
  isSignedAnswer,
  message,
  readHello,
  readMessage,
  signedQuestion,
} from '../../../src/model/hello.ts';
import {
  commitment,
  type PairingPart,
  pairingNamespace,
  pairingText,
} from '../../../src/model/pairing.ts';
import { pkt, readPkt } from '../../../src/model/pktline.ts';
import { readSigner } from '../../../src/model/signer.ts';
import { beaconConfig, beaconPort, tell } from '../../support/beacon.ts';
import { House } from '../../support/house.ts';

const limits = 'limits: {login_grace: 1s, unauthenticated_per_address: 4}\n';
const house = await House.open(t, { config: `${beaconConfig}${limits}` });
const port = beaconPort(house);
const nonce = 'ab'.repeat(32);
const hello = (fields: object = {}) =>
  pkt(message('cpm-hello', { protocol: 1, oldest: 1, nonce, ...fields }));

/** The packets of an answer, as messages. */
function messagesOf(said: Buffer) {
  const found = [];
  for (let at = 0; at < said.length; ) {
    const read = readPkt(said, at);
    if (read?.pkt.kind !== 'data') break;
    found.push(
      readMessage(read.pkt.payload) ?? { word: String(read.pkt.payload), fields: {}, text: '' },
    );
    at = read.next;
  }
  return found;
}

const ask = async (...packets: Buffer[]) => messagesOf(await tell(port, Buffer.concat(packets)));

t.test(
  'S20 a hello is signed for the nonce of its caller, for one role, by the key that it names',
  async (t) => {
    const [answer, signed] = await ask(hello());
    const read = answer && readHello(answer);
    if (answer === undefined || read === undefined) throw new Error('no hello');
    t.match(read, {
      version: '0.1.0',
      sshPort: house.port,
      status: 'serving',
      publicRepositories: 0,
    });
    const signature = signed?.fields['signature'];
    const about = { key: read.key, nonce, text: answer.text, signature };
    t.ok(isSignedAnswer('hello', about));
    t.notOk(isSignedAnswer('hello', { ...about, nonce: 'ba'.repeat(32) }), 'replayed');
    t.notOk(isSignedAnswer('names', about), 'for another use');
    t.notOk(isSignedAnswer('hello', { ...about, text: `${answer.text} ` }), 'changed');
    const other = readSigner(generateEd25519().privateKey).publicKey.blob;
    t.notOk(isSignedAnswer('hello', { ...about, key: other }), 'under a borrowed key');
  },
);

t.test('older, newer and broken peers are answered politely', async (t) => {
  t.match(await ask(hello({ protocol: 9, more: { of: 'this' } })), [
    { word: 'cpm-hello', fields: { protocol: 1 } },
  ]);
  for (const fields of [
    { protocol: 0 },
    { protocol: 9, oldest: 9 },
    { protocol: 'x' },
    { protocol: 1.5 },
  ]) {
    t.match(
      await ask(hello(fields)),
      [
        {
          word: 'cpm-error',
          fields: { code: 'usage', message: 'protocol 1 is spoken here', protocols: [1] },
        },
      ],
      JSON.stringify(fields),
    );
  }
  for (const short of ['', nonce.slice(2), `${nonce}ab`, nonce.toUpperCase(), 7, null]) {
    t.match(await ask(hello({ nonce: short })), [{ fields: { message: /a nonce of 32 bytes/ } }]);
  }
  t.match(await ask(pkt('cpm-hello [1]')), [{ word: 'cpm-error' }]);
  t.match(await ask(pkt(message('cpm-names', {}))), [{ fields: { message: 'say hello first' } }]);
  const later = pkt(message('cpm-later', {}));
  t.match((await ask(hello(), later)).at(-1), {
    fields: { message: 'cpm-later is not in this version' },
  });
});

t.test('names are refused to who is not confirmed, or does not sign', async (t) => {
  const signer = readSigner(generateEd25519().privateKey);
  const key = signer.publicKey.blob.toString('base64');
  const socket = connect({ port, host: '127.0.0.1' });
  t.teardown(() => socket.destroy());
  const next = async (asked: Buffer) => {
    socket.write(asked);
    return messagesOf(((await once(socket, 'data')) as [Buffer])[0]);
  };
  const [answer] = await next(hello());
  const { nonce: theirs = '', key: server = Buffer.alloc(0) } = (answer && readHello(answer)) ?? {};
  const refused = [{ word: 'cpm-error', fields: { code: 'denied' } }];
  const signature = signedQuestion(signer, theirs, server);
  t.match(await next(pkt(message('cpm-names', { key, signature }))), refused, 'a stranger');
  t.match(await next(pkt(message('cpm-names', { key, signature: 'x' }))), refused, 'unsigned');
});

t.test('a pairing out of turn, twice, or reflected is given up', async (t) => {
  const pair = (fields: Readonly<Record<string, unknown>>) => pkt(message('cpm-pair', fields));
  const gaveUp = {
    word: 'cpm-error',
    fields: { code: 'denied', message: /^pairing was given up: / },
  };
  t.match((await ask(hello(), pair({ step: 'reveal', nonce }))).at(-1), gaveUp);
  t.match((await ask(hello(), pair({ step: 'commit', from: 1, commit: nonce }))).at(-1), gaveUp);
  t.match((await ask(hello(), pair({ step: 'x' }))).at(-1), gaveUp);
  const key = generateEd25519().publicKey.blob.toString('base64');
  const keys = { signKey: key, hostKey: key, signInKey: key };
  const commit = pair({
    step: 'commit',
    from: { protocol: 1, name: 'm', sshPort: 1, port: 1, ...keys },
    commit: nonce,
  });
  const reveal = pair({ step: 'reveal', nonce, signature: 'x' });
  t.match((await ask(hello(), commit, reveal)).at(-1), gaveUp, 'a nonce that was not committed to');
  t.match((await ask(hello(), commit, commit)).at(-1), gaveUp);
  t.match(
    await house.operator('neighbors list --json'),
    { stdout: '[]\n' },
    'nothing is kept of it',
  );
});

t.test(
  'a newer peer pairs in the protocol that both speak, and its more is left alone',
  async (t) => {
    const signer = readSigner(generateEd25519().privateKey);
    const key = signer.publicKey.blob.toString('base64');
    const from = {
      ...{ protocol: 9, name: 'newer', sshPort: 1, port: 1 },
      ...{ signKey: key, hostKey: key, signInKey: key },
    };
    const commit = commitment('caller', nonce, from);
    const pair = (fields: object) => pkt(message('cpm-pair', { ...fields, more: [1] }));
    const socket = connect({ port, host: '127.0.0.1' });
    t.teardown(() => socket.destroy());
    const next = async (asked: Buffer) => {
      socket.write(asked);
      return messagesOf(((await once(socket, 'data')) as [Buffer])[0]);
    };
    t.match(await next(hello({ protocol: 9, more: 1 })), [{ fields: { protocol: 1 } }, {}]);
    const [said] = await next(pair({ step: 'commit', from: { ...from, more: {} }, commit }));
    const server = { ...(said?.fields as unknown as PairingPart), nonce: '' };
    t.equal(server.from.protocol, 1, 'each tells the newest that it speaks');
    const caller = { from, commit, nonce };
    const signature = signer.sign(pairingNamespace, pairingText('caller', { caller, server }));
    t.match(await next(pair({ step: 'reveal', nonce, signature })), [
      { word: 'cpm-pair', fields: { step: 'reveal', nonce: /^[0-9a-f]{64}$/ } },
    ]);
    t.match(JSON.parse((await house.operator('neighbors list --json')).stdout), [
      { state: 'asking', told_name: 'newer' },
    ]);
  },
);

t.test('who is slow, endless or of another world costs a second and some bytes', async (t) => {
  for (const [name, bytes] of Object.entries({
    'no packet': 'GET / HTTP/1.1\r\n\r\n',
    TLS: Buffer.from('16030100f8010000f40303', 'hex'),
    SSH: 'SSH-2.0-OpenSSH_9.2\r\n',
    'an endless line': Buffer.alloc(1024 * 1024, 0x61),
    'a packet too long': 'ffffgit-upload-pack /x',
    'a flush': '0000',
    'no request': pkt('git-upload-pack'),
    'control characters': pkt('\x1b[31m\0'),
  })) {
    const said = (await tell(port, bytes, { half: false })).toString();
    t.match(said, /^00[0-9a-f]{2}ERR cpm: /, name);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    t.notMatch(said, /\x1b/, name);
  }
  const begun = performance.now();
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  socket.write('1000git-upload-pack ');
  const trickle = setInterval(() => socket.write('a'), 100);
  const said: Buffer[] = [];
  socket.on('data', (chunk) => said.push(chunk));
  await once(socket, 'close');
  clearInterval(trickle);
  t.match(String(Buffer.concat(said)), /nothing was asked in 1 s/);
  t.ok(performance.now() - begun < 8000);
});

t.test('one address has a few connections, and then is told so', async (t) => {
  const sockets = Array.from({ length: 4 }, () => connect({ port, host: '127.0.0.1' }));
  t.teardown(() => sockets.map((socket) => socket.destroy()));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  t.match(
    (await tell(port, hello())).toString(),
    /4 connections from your address are open, which is the limit/,
  );
  for (const socket of sockets) socket.destroy();
  await Promise.all(sockets.map((socket) => once(socket, 'close')));
  t.match(await house.admin.ssh('whoami'), { status: 0 }, 'the SSH door counts its own');
});
