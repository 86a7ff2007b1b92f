import { once } from 'node:events';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { RawClient } from '../doors/ssh/raw-client.ts';

// A process of its own, for attackers have machines of their own: PORT SIGN-INS ADDRESSES AT-ONCE.
const [port = 0, signIns = 0, addresses = 1, atOnce = 1] = process.argv.slice(2).map(Number);

function addressOf(nth: number): string {
  return `127.0.${Math.floor(nth / 10)}.${(nth % 10) + 2}`;
}

/** Offers a key that nobody knows, and goes. */
async function failToSignIn(from: string): Promise<void> {
  const client = new RawClient(port, { from });
  await client.startService();
  const { blob } = generateEd25519().publicKey;
  client.offer({ blob, algorithm: 'ssh-ed25519' });
  await client.next(51);
  client.destroy();
  if (!client.closed) await once(client.socket, 'close');
}

let left = signIns;
const attacker = async (nth: number) => {
  for (let at = nth; left > 0; at++) {
    left -= 1;
    await failToSignIn(addressOf(at % addresses));
  }
};
process.stdout.write('attacking\n');
await Promise.all(Array.from({ length: atOnce }, (_, nth) => attacker(nth)));
