import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { readSigner } from '../../src/model/signer.ts';
import { verifySshSignature } from '../../src/model/sshsig.ts';
import { generateKey } from '../support/person.ts';
import { must, run } from '../support/process.ts';

const namespace = 'cpm-audit';
const message = 'cpm audit head 7:00 2026-01-01T00:00:00.000Z\n';

t.test('what a key signs, ssh-keygen and cpm accept, for that text and use alone', async (t) => {
  const folder = t.testdir();
  const own = generateEd25519('cpm');
  const made = await generateKey(join(folder, 'made'));
  const keys = [
    { privateKey: own.privateKey, line: own.publicLine },
    { privateKey: readFileSync(made.privatePath, 'utf8'), line: made.line },
  ];
  for (const { privateKey, line } of keys) {
    const signer = readSigner(privateKey);
    const signature = signer.sign(namespace, message);
    const signers = join(folder, 'signers');
    const file = join(folder, 'signature');
    writeFileSync(signers, `cpm ${line}\n`);
    writeFileSync(file, signature);
    const check = (use: string, stdin: string) =>
      run('ssh-keygen', ['-Y', 'verify', '-f', signers, '-I', 'cpm', '-n', use, '-s', file], {
        stdin,
      });

    t.equal((await check(namespace, message)).status, 0);
    t.not((await check('git', message)).status, 0, 'not for another use');
    t.not((await check(namespace, `${message} `)).status, 0, 'not for another text');
    const { blob } = signer.publicKey;
    t.ok(verifySshSignature(signature, { blob, namespace, message }));
    t.notOk(verifySshSignature(signature, { blob, namespace, message: 'another' }));
  }
});

t.test('no key but an ed25519 key without a passphrase signs', async (t) => {
  const folder = t.testdir();
  const rsa = await generateKey(join(folder, 'rsa'), 'rsa');
  const locked = join(folder, 'locked');
  await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', locked]);
  const one = generateEd25519().privateKey;
  const body = Buffer.from(one.split('\n').slice(1, -2).join(''), 'base64');
  const damaged = (at: number) => {
    const bytes = Buffer.from(body);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const name = 'OPENSSH PRIVATE KEY';
    return `-----BEGIN ${name}-----\n${bytes.toString('base64')}\n-----END ${name}-----\n`;
  };

  t.throws(() => readSigner(readFileSync(rsa.privatePath, 'utf8')), { name: 'WireFault' });
  t.throws(() => readSigner(readFileSync(locked, 'utf8')), { message: /passphrase/ });
  t.throws(() => readSigner(''), { name: 'WireFault' });
  t.throws(() => readSigner(one.slice(0, 200)), { name: 'WireFault' });
  // The magic, the public point, the check number, the second public point, the point in the pair.
  for (const at of [0, 70, 98, 130, 210]) {
    t.throws(() => readSigner(damaged(at)), { name: 'WireFault' }, `byte ${at}`);
  }
});
