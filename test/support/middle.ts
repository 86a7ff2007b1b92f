import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { call } from '../../src/core/neighbors/greet.ts';
import { Packets } from '../../src/core/neighbors/packets.ts';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { message, readMessage, readNonce, signedAnswer } from '../../src/model/hello.ts';
import {
  commitment,
  type Introduction,
  type PairingPart,
  type PairingRole,
  pairingNamespace,
  pairingText,
} from '../../src/model/pairing.ts';
import { pkt } from '../../src/model/pktline.ts';
import { readSigner, type Signer } from '../../src/model/signer.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The keys that somebody in between has instead of one side's. */
class Mask {
  readonly signer: Signer = readSigner(generateEd25519().privateKey);
  readonly #others = [generateEd25519(), generateEd25519()].map(({ publicKey }) =>
    publicKey.blob.toString('base64'),
  );

  /** What one side wants to be trusted with, its keys exchanged. */
  over(from: Introduction): Introduction {
    const [hostKey = '', signInKey = ''] = this.#others;
    const signKey = this.signer.publicKey.blob.toString('base64');
    return { ...from, signKey, hostKey, signInKey };
  }

  part(role: PairingRole, from: Introduction, nonce: string): PairingPart {
    const own = this.over(from);
    return { from: own, nonce, commit: commitment(role, nonce, own) };
  }

  sign(role: PairingRole, exchange: { caller: PairingPart; server: PairingPart }): string {
    return this.signer.sign(pairingNamespace, pairingText(role, exchange));
  }
}

const chosen = 'ab'.repeat(32);

/**
 * Somebody between two machines who ends both talks, says all that each says to the other, and does it with keys of
 * his own, in both protocols' every step; the caller's nonce he repeats, for he may choose his after he has seen it.
 *
 * @param port - the beacon of the machine that the caller means
 * @returns where he listens
 */
export async function standBetween(
  t: { teardown(close: () => unknown): void },
  port: number,
): Promise<number> {
  const toCaller = new Mask();
  const toServer = new Mask();
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    void converse(socket, port, { toCaller, toServer }).catch((error: unknown) =>
      socket.destroy(error as Error),
    );
  });
  t.teardown(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

async function converse(
  socket: Socket,
  port: number,
  { toCaller, toServer }: { toCaller: Mask; toServer: Mask },
): Promise<void> {
  const packets = new Packets(socket);
  const next = async () => {
    const packet = await packets.next(65536);
    return packet?.kind === 'data' ? readMessage(packet.payload)?.fields : undefined;
  };
  const say = (...answers: Buffer[]) => socket.write(Buffer.concat(answers.map(pkt)));
  const asked = await next();
  if (asked === undefined) return;
  const where = { host: '127.0.0.1', port, timeoutMs: 5000, signal: new AbortController().signal };
  const onward = await call(where);
  try {
    const { hello } = onward;
    const key = toCaller.signer.publicKey.blob.toString('base64');
    const said = message('cpm-hello', {
      ...{ protocol: 1, name: hello.name, version: hello.version, ssh_port: hello.sshPort },
      ...{ status: hello.status, public_repositories: hello.publicRepositories, key },
      nonce: chosen,
    });
    say(...signedAnswer(toCaller.signer, 'hello', String(asked['nonce']), said));
    const first = await next();
    if (first === undefined) return;
    const caller = partOf(first);
    // What the server wants to be trusted with is told against a commitment only: one is made for that.
    const probe = await call(where);
    const { from } = partOf(await probe.ask('cpm-pair', commitFields(toServer, caller, chosen)));
    probe.close();
    const mine = toCaller.part('server', from, chosen);
    say(message('cpm-pair', { step: 'commit', from: mine.from, commit: mine.commit }));
    const second = await next();
    const nonce = readNonce(second?.['nonce']);
    if (nonce === undefined) return;
    // Only now, with the caller's nonce before his eyes, does he choose the one for the server.
    const real = partOf(await onward.ask('cpm-pair', commitFields(toServer, caller, nonce)));
    const asCaller = toServer.part('caller', caller.from, nonce);
    const signature = toServer.sign('caller', { caller: asCaller, server: real });
    await onward.ask('cpm-pair', { step: 'reveal', nonce, signature });
    const toHim = toCaller.sign('server', { caller: { ...caller, nonce }, server: mine });
    say(message('cpm-pair', { step: 'reveal', nonce: chosen, signature: toHim }));
    await packets.next(65536);
  } finally {
    onward.close();
  }
}

function commitFields(mask: Mask, { from }: PairingPart, nonce: string): Fields {
  const { commit, from: own } = mask.part('caller', from, nonce);
  return { step: 'commit', from: own, commit };
}

function partOf(fields: Fields): PairingPart {
  return { from: fields['from'] as Introduction, commit: String(fields['commit']), nonce: '' };
}
