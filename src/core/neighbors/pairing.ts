import { randomBytes } from 'node:crypto';
import { nonceBytes, readKey, readNonce } from '../../model/hello.ts';
import {
  commitment,
  type Introduction,
  type PairingPart,
  type PairingRole,
  pairingNamespace,
  pairingText,
  pairingWords,
  readIntroduction,
} from '../../model/pairing.ts';
import type { Signer } from '../../model/signer.ts';
import { checkBlob } from '../../model/sshkey.ts';
import { verifySshSignature } from '../../model/sshsig.ts';
import type { Core } from '../core.ts';
import type { Conversation } from './greet.ts';
import { brokenPairing, type Pending } from './pairings.ts';
import { introduction } from './self.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What the other side said first. */
interface Committed {
  readonly from: Introduction;
  readonly key: Buffer;
  readonly commit: string;
}

/** The answering side of an exchange. @see pairing.ts of the model */
export class PairingAnswerer {
  readonly #core: Core;
  readonly #address: string;
  #theirs: Committed | undefined;
  #mine: PairingPart | undefined;

  constructor(core: Core, address: string) {
    this.#core = core;
    this.#address = address;
  }

  /** @throws UserError `denied` when the caller does not keep to the protocol: nothing is kept then */
  async answer(fields: Fields): Promise<Fields> {
    if (fields['step'] === 'commit' && this.#theirs === undefined) {
      this.#theirs = readCommit(fields);
      this.#mine = await ownPart(this.#core, 'server');
      const { from, commit } = this.#mine;
      return { step: 'commit', from, commit };
    }
    const [theirs, mine] = [this.#theirs, this.#mine];
    // One reveal for each commitment.
    this.#mine = undefined;
    if (fields['step'] !== 'reveal' || theirs === undefined || mine === undefined) {
      throw brokenPairing('a step out of turn');
    }
    const signer = await this.#core.chain.signer();
    const exchange = { caller: revealed('caller', theirs, fields), server: mine };
    checkSigned('caller', theirs, { fields, exchange });
    this.#core.pairings.put({
      ...{ from: theirs.from, key: theirs.key, address: this.#address },
      words: pairingWords(exchange),
      ours: false,
    });
    const signature = signer.sign(pairingNamespace, pairingText('server', exchange));
    return { step: 'reveal', nonce: mine.nonce, signature };
  }
}

/**
 * Goes through an exchange with a server that has said hello.
 *
 * @param key - the blob of the signing key that it must have
 * @throws UserError `denied` when it does not keep to the protocol, `unavailable` when it is gone
 */
export async function exchangeWords(
  core: Core,
  conversation: Conversation,
  { key, address }: { key: Buffer; address: string },
): Promise<Pending> {
  const signer: Signer = await core.chain.signer();
  const mine = await ownPart(core, 'caller');
  const { from, commit } = mine;
  const theirs = readCommit(await conversation.ask('cpm-pair', { step: 'commit', from, commit }));
  if (!theirs.key.equals(key)) throw brokenPairing('another key answers there');
  // What the caller signs tells its own nonce and both commitments: the other nonce is not known yet.
  const unseen = { caller: mine, server: { ...theirs, nonce: '' } };
  const signature = signer.sign(pairingNamespace, pairingText('caller', unseen));
  const fields = await conversation.ask('cpm-pair', {
    step: 'reveal',
    nonce: mine.nonce,
    signature,
  });
  const exchange = { caller: mine, server: revealed('server', theirs, fields) };
  checkSigned('server', theirs, { fields, exchange });
  const pending = { from: theirs.from, key, address, words: pairingWords(exchange), ours: true };
  core.pairings.put(pending);
  return pending;
}

async function ownPart(core: Core, role: PairingRole): Promise<PairingPart> {
  const from = await introduction(core);
  const nonce = randomBytes(nonceBytes).toString('hex');
  return { from, nonce, commit: commitment(role, nonce, from) };
}

function readCommit(fields: Fields): Committed {
  const from = readIntroduction(fields['from']);
  const commit = readNonce(fields['commit']);
  const key = readKey(from?.signKey);
  if (from === undefined || commit === undefined || key === undefined) {
    throw brokenPairing('an introduction that can not be read');
  }
  for (const each of [from.hostKey, from.signInKey]) checkBlob(Buffer.from(each, 'base64'));
  return { from, key, commit };
}

function revealed(role: PairingRole, { from, commit }: Committed, fields: Fields): PairingPart {
  const nonce = readNonce(fields['nonce']);
  if (nonce === undefined || commitment(role, nonce, from) !== commit) {
    throw brokenPairing('a nonce that was not committed to');
  }
  return { from, commit, nonce };
}

function checkSigned(
  role: PairingRole,
  { key }: Committed,
  { fields, exchange }: { fields: Fields; exchange: { caller: PairingPart; server: PairingPart } },
): void {
  const { signature } = fields;
  const about = { blob: key, namespace: pairingNamespace, message: pairingText(role, exchange) };
  if (typeof signature === 'string' && verifySshSignature(signature, about)) return;
  throw brokenPairing('a signature that does not fit');
}
