import t from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import {
  commitment,
  type Introduction,
  pairingText,
  pairingWords,
  plainWords,
} from '../../src/model/pairing.ts';
import { wordList } from '../../src/model/word-list.ts';

const blob = () => generateEd25519().publicKey.blob.toString('base64');
const introduce = (name: string): Introduction => ({
  protocol: 1,
  ...{ name, sshPort: 2222, port: 9418 },
  ...{ signKey: blob(), hostKey: blob(), signInKey: blob() },
});
const part = (role: 'caller' | 'server', from: Introduction, digits: string) => {
  const nonce = digits.repeat(32);
  return { from, nonce, commit: commitment(role, nonce, from) };
};
const [a, b, m] = [introduce('a'), introduce('b'), introduce('b')];
const caller = part('caller', a, '01');
const server = part('server', b, '02');

t.test('there are 2048 words, no two alike', async (t) => {
  t.equal(wordList.length, 2048);
  t.equal(new Set(wordList).size, 2048);
  t.ok(wordList.every((word) => /^[a-z]{7,13}$/.test(word)));
});

t.test('both sides make the same six words of an exchange, and others of any other', async (t) => {
  const words = pairingWords({ caller, server });
  t.match(words, /^([a-z]+ ){5}[a-z]+$/);
  t.equal(plainWords(` ${words.toUpperCase().replaceAll(' ', ', ')}\n`), words);
  // Somebody in the middle, who may even repeat the nonces of both.
  const toHim = { caller, server: part('server', m, '02') };
  const fromHim = { caller: part('caller', m, '01'), server };
  for (const other of [toHim, fromHim]) t.not(pairingWords(other), words);
  t.not(pairingWords(toHim), pairingWords(fromHim));
  for (const change of [
    { hostKey: blob() },
    { signInKey: blob() },
    { sshPort: 22 },
    { name: 'c' },
    { protocol: 2 },
  ]) {
    const changed = { caller, server: part('server', { ...b, ...change }, '02') };
    t.not(pairingWords(changed), words, Object.keys(change).join());
  }
});

t.test('a commitment fits one nonce, one introduction and one role', async (t) => {
  const { nonce } = caller;
  const right = commitment('caller', nonce, a);
  t.not(commitment('server', nonce, a), right);
  t.not(commitment('caller', server.nonce, a), right);
  t.not(commitment('caller', nonce, m), right);
});

t.test('what one side signs is never what the other signs', async (t) => {
  const texts = (['caller', 'server'] as const).map((role) =>
    pairingText(role, { caller, server }),
  );
  t.equal(new Set(texts).size, 2);
});
