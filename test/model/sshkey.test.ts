import { spawnSync } from 'node:child_process';
import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import {
  checkBlob,
  fingerprint,
  fingerprintBytes,
  parsePublicKey,
  publicKeyLine,
  verifySignature,
} from '../../src/model/sshkey.ts';
import { wire } from '../../src/model/sshwire.ts';

/** A key of ssh-keygen: its line, its private key, and the fingerprint that ssh-keygen prints. */
function keygen(t: Test, type: string, bits: string) {
  const file = join(t.testdir({}), 'key');
  const args = ['-q', '-t', type, '-b', bits, '-N', '', '-C', 'ana@laptop of ana', '-f', file];
  spawnSync('ssh-keygen', type === 'ed25519' ? args : [...args, '-m', 'PEM']);
  const printed = spawnSync('ssh-keygen', ['-l', '-f', `${file}.pub`], { encoding: 'utf8' }).stdout;
  const line = readFileSync(`${file}.pub`, 'utf8');
  return { file, line, print: printed.split(' ')[1], text: readFileSync(file, 'utf8') };
}

const kinds = [
  ['ed25519', '256', 'ssh-ed25519'],
  ['ecdsa', '256', 'ecdsa-sha2-nistp256'],
  ['ecdsa', '384', 'ecdsa-sha2-nistp384'],
  ['ecdsa', '521', 'ecdsa-sha2-nistp521'],
  ['rsa', '2048', 'ssh-rsa'],
] as const;

t.test('keys of ssh-keygen are read, with its own fingerprint', async (t) => {
  for (const [kind, bits, type] of kinds) {
    const { line, print } = keygen(t, kind, bits);
    const [, base64 = ''] = line.split(' ');

    const key = parsePublicKey(line);

    t.match(key, { type, comment: 'ana@laptop of ana' });
    t.equal(fingerprint(key.blob), print);
    t.equal(
      fingerprint(key.blob),
      `SHA256:${fingerprintBytes(key.blob).toString('base64').replace(/=+$/, '')}`,
    );
    t.equal(publicKeyLine(key, key.comment), line.trim());
    t.match(parsePublicKey(base64), { type, comment: '' }, 'the middle word alone');
    t.match(parsePublicKey(`  ${line}\r\n`), { type }, 'blanks around it');
  }
});

t.test('what is no key to be taken is refused with what it is', async (t) => {
  const { line, text } = keygen(t, 'ed25519', '256');
  const [type = '', base64 = ''] = line.trim().split(' ');
  const rows: [string, RegExp][] = [
    ['', /no key was given/],
    ['   \n', /no key was given/],
    [text, /this is a private key/],
    ['-----BEGIN RSA PRIVATE KEY-----\nx', /this is a private key/],
    ['PuTTY-User-Key-File-3: ssh-ed25519', /this is a private key/],
    ['---- BEGIN SSH2 PUBLIC KEY ----\nAAAA', /not in the form that OpenSSH writes/],
    ['-----BEGIN PUBLIC KEY-----\nMIIB', /not in the form that OpenSSH writes/],
    [`${line}${line}`, /more than one line/],
    ['ssh-ed25519-cert-v01@openssh.com AAAA', /certificates are not taken/],
    ['sk-ssh-ed25519@openssh.com AAAA', /keys of security tokens/],
    ['ssh-dss AAAA', /DSA keys are too weak/],
    ['ssh-ed448 AAAA', /"ssh-ed448" is no kind of key/],
    [`restrict,command="x" ${line}`, /is no kind of key/],
    ['ssh-ed25519', /its middle part is not base64/],
    ['ssh-ed25519 !!!!', /its middle part is not base64/],
    [`ssh-ed25519 ${base64}=`, /its middle part is not base64/],
    [`ssh-ed25519 ${base64.slice(0, -3)}`, /its middle part is not base64/],
    [`ssh-ed25519 ${base64.slice(0, -4)}`, /its content does not fit its type/],
    [`ssh-rsa ${base64}`, /says it is "ssh-rsa", but holds ssh-ed25519/],
    [`${type} ${'A'.repeat(20_000)}`, /too long/],
  ];
  for (const [given, message] of rows) {
    t.throws(() => parsePublicKey(given), { code: 'usage', message }, given.slice(0, 40));
  }
});

t.test(
  'a blob has one spelling: what is padded, cut, prolonged or off the curve is refused',
  async (t) => {
    const { publicKey } = generateEd25519();
    const ec = parsePublicKey(keygen(t, 'ecdsa', '256').line).blob;
    const offCurve = Buffer.from(ec);
    offCurve[offCurve.length - 1] = (offCurve.at(-1) ?? 0) ^ 1;
    const { n, e } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
      format: 'jwk',
    });
    const modulus = Buffer.concat([Buffer.of(0), Buffer.from(n ?? '', 'base64url')]);
    const exponent = Buffer.from(e ?? '', 'base64url');
    const rows: [string, Buffer][] = [
      ['trailing byte', Buffer.concat([publicKey.blob, Buffer.of(0)])],
      ['short point', wire('ssh-ed25519', Buffer.alloc(31))],
      ['long point', wire('ssh-ed25519', Buffer.alloc(33))],
      ['length beyond the end', Buffer.from([0xff, 0xff, 0xff, 0xff, 1])],
      ['nothing', Buffer.alloc(0)],
      ['off the curve', offCurve],
      [
        'compressed point',
        wire('ecdsa-sha2-nistp256', 'nistp256', Buffer.concat([Buffer.of(2), Buffer.alloc(32, 1)])),
      ],
      ['wrong curve name', wire('ecdsa-sha2-nistp256', 'nistp384', ec.subarray(-65))],
      ['negative modulus', wire('ssh-rsa', exponent, modulus.subarray(1))],
      ['padded modulus', wire('ssh-rsa', exponent, Buffer.concat([Buffer.of(0), modulus]))],
      ['even exponent', wire('ssh-rsa', Buffer.of(4), modulus)],
      ['exponent 1', wire('ssh-rsa', Buffer.of(1), modulus)],
      ['huge exponent', wire('ssh-rsa', modulus, modulus)],
    ];
    t.match(
      checkBlob(wire('ssh-rsa', exponent, modulus)),
      { type: 'ssh-rsa' },
      'the right one is taken',
    );
    for (const [name, blob] of rows) t.throws(() => checkBlob(blob), { code: 'usage' }, name);
  },
);

t.test('RSA keys have 2048 to 16384 bits', async (t) => {
  const small = parsePublicKeyOf(1024);
  const large = wire(
    'ssh-rsa',
    Buffer.of(1, 0, 1),
    Buffer.concat([Buffer.of(0), Buffer.alloc(2049, 0xff)]),
  );

  t.throws(() => checkBlob(small), {
    code: 'usage',
    message: /has 1024 bits, 2048 to 16384 are taken/,
  });
  t.throws(() => checkBlob(large), { code: 'usage', message: /has 16392 bits/ });
});

function parsePublicKeyOf(modulusLength: number): Buffer {
  const { n, e } = generateKeyPairSync('rsa', { modulusLength }).publicKey.export({
    format: 'jwk',
  });
  const modulus = Buffer.concat([Buffer.of(0), Buffer.from(n ?? '', 'base64url')]);
  return wire('ssh-rsa', Buffer.from(e ?? '', 'base64url'), modulus);
}

const data = Buffer.from('what was signed');

/** Signs as an SSH client does. */
function signatureOf(text: string, algorithm: string): Buffer {
  const key = createPrivateKey(text);
  const hash = {
    'rsa-sha2-256': 'sha256',
    'rsa-sha2-512': 'sha512',
    'ssh-rsa': 'sha1',
    'ecdsa-sha2-nistp256': 'sha256',
    'ecdsa-sha2-nistp384': 'sha384',
    'ecdsa-sha2-nistp521': 'sha512',
  }[algorithm];
  const bytes = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
  if (!algorithm.startsWith('ecdsa')) return wire(algorithm, bytes);
  const half = bytes.length / 2;
  return wire(algorithm, wire(mpint(bytes.subarray(0, half)), mpint(bytes.subarray(half))));
}

function mpint(bytes: Buffer): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  const bare = bytes.subarray(start);
  return (bare[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bare]) : bare;
}

t.test(
  "a good signature is true, and only with the algorithms of the key's own type",
  async (t) => {
    const all = [...kinds.map(([, , type]) => type), 'rsa-sha2-256', 'rsa-sha2-512'];
    for (const [kind, bits, type] of kinds.slice(1)) {
      const { line, text } = keygen(t, kind, bits);
      const key = parsePublicKey(line);
      const fitting = kind === 'rsa' ? ['rsa-sha2-256', 'rsa-sha2-512'] : [type];
      for (const algorithm of fitting) {
        // Many, because the numbers of ecdsa differ in length.
        for (let count = 0; count < 30; count += 1) {
          const blob = signatureOf(text, algorithm);
          t.equal(verifySignature(key, { algorithm, blob, data }), true, `${type} ${algorithm}`);
          for (const other of all.filter((name) => name !== algorithm)) {
            if (verifySignature(key, { algorithm: other, blob, data }))
              t.fail(`${other} for ${algorithm}`);
          }
          if (verifySignature(key, { algorithm, blob, data: Buffer.from('other') }))
            t.fail('other data');
        }
      }
    }
  },
);

t.test('an RSA signature with SHA-1 is false', async (t) => {
  const { line, text } = keygen(t, 'rsa', '2048');
  const blob = signatureOf(text, 'ssh-rsa');

  t.equal(verifySignature(parsePublicKey(line), { algorithm: 'ssh-rsa', blob, data }), false);
});

t.test('S1 good bytes under the name of another algorithm are false', async (t) => {
  const rsa = keygen(t, 'rsa', '2048');
  const ec = keygen(t, 'ecdsa', '256');
  const rows = [
    [rsa, 'rsa-sha2-256', 'ssh-rsa'],
    [rsa, 'rsa-sha2-256', 'rsa-sha2-512'],
    [rsa, 'rsa-sha2-256', 'x'],
    [ec, 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384'],
    [ec, 'ecdsa-sha2-nistp256', 'rsa-sha2-256'],
  ] as const;
  for (const [{ line, text }, real, named] of rows) {
    const bytes = signatureOf(text, real).subarray(4 + real.length + 4);
    const blob = wire(named, bytes);
    t.equal(verifySignature(parsePublicKey(line), { algorithm: named, blob, data }), false, named);
    t.equal(verifySignature(parsePublicKey(line), { algorithm: real, blob, data }), false, named);
    const again = wire(real, bytes);
    t.equal(verifySignature(parsePublicKey(line), { algorithm: real, blob: again, data }), true);
  }
});

t.test('S1 a torn, stretched, empty or foreign signature is false, never an error', async (t) => {
  for (const [kind, bits, type] of kinds.slice(1)) {
    const { line, text } = keygen(t, kind, bits);
    const key = parsePublicKey(line);
    const algorithm = kind === 'rsa' ? 'rsa-sha2-256' : type;
    const good = signatureOf(text, algorithm);
    const zeros = wire(algorithm, wire(Buffer.alloc(0), Buffer.alloc(0)));
    const bad = [
      Buffer.alloc(0),
      Buffer.from([0xff, 0xff, 0xff, 0xff]),
      wire(algorithm, Buffer.alloc(0)),
      wire(algorithm, Buffer.alloc(64)),
      wire(algorithm, Buffer.alloc(5000, 1)),
      zeros,
      wire(algorithm, wire(Buffer.of(1), Buffer.alloc(100, 1))),
      Buffer.concat([good, Buffer.of(0)]),
      ...Array.from({ length: good.length }, (_, end) => good.subarray(0, end)),
      ...Array.from({ length: good.length }, (_, at) => {
        const changed = Buffer.from(good);
        changed[at] = (changed[at] ?? 0) ^ 0x41;
        return changed;
      }),
    ];
    const taken = bad.filter((blob) => verifySignature(key, { algorithm, blob, data }) !== false);
    t.same(taken, [], type);
    t.equal(
      verifySignature({ ...key, blob: Buffer.of(1) }, { algorithm, blob: good, data }),
      false,
    );
  }
});

t.test('a generated key is one that OpenSSH reads, with the same public half', async (t) => {
  for (const comment of ['', 'a', 'ana@laptop', 'x'.repeat(77)]) {
    const pair = generateEd25519(comment);
    const file = join(t.testdir({}), 'key');
    writeFileSync(file, pair.privateKey, { mode: 0o600 });

    const printed = spawnSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' });

    t.equal(printed.stdout, `${pair.publicLine}\n`, printed.stderr);
    t.match(parsePublicKey(pair.publicLine), { type: 'ssh-ed25519', comment });
  }
});

t.test('what a generated key signs with ssh-keygen, its public half verifies', async (t) => {
  const { privateKey, publicKey } = generateEd25519('ana');
  const dir = t.testdir({ message: 'hello' });
  const file = join(dir, 'key');
  writeFileSync(file, privateKey, { mode: 0o600 });
  spawnSync('ssh-keygen', ['-Y', 'sign', '-n', 'test', '-f', file, join(dir, 'message')]);
  const armoured = readFileSync(join(dir, 'message.sig'), 'utf8');
  const whole = Buffer.from(armoured.replace(/-----.*-----/g, ''), 'base64');
  const signature = whole.subarray(whole.lastIndexOf('ssh-ed25519') - 4);
  const hashed = createHash('sha512').update('hello').digest();
  const signed = Buffer.concat([Buffer.from('SSHSIG'), wire('test', '', 'sha512', hashed)]);

  const offer = { algorithm: 'ssh-ed25519', blob: signature, data: signed };

  t.equal(verifySignature(publicKey, offer), true);
  t.equal(verifySignature(generateEd25519().publicKey, offer), false);
  for (let end = 0; end < signature.length; end += 1) {
    const torn = { ...offer, blob: signature.subarray(0, end) };
    if (verifySignature(publicKey, torn)) t.fail(`${end} bytes of it`);
  }
  const longer = wire('ssh-ed25519', Buffer.concat([signature.subarray(-64), Buffer.of(0)]));
  t.equal(verifySignature(publicKey, { ...offer, blob: longer }), false);
});
