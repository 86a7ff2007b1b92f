import { fingerprint, signatureAlgorithms, verifySignature } from '../../model/sshkey.ts';
import { WireFault, WireReader, wire } from '../../model/sshwire.ts';
import type { KeyOwner } from './door.ts';
import { type DisconnectReason, messages } from './messages.ts';

/** What a sign-in needs of its connection. */
export interface AuthPort {
  readonly tries: number;
  send(payload: Buffer): void;
  sessionId(): Buffer;
  identify(blob: Buffer): Promise<KeyOwner | undefined>;
  /** The key of `owner` signed. */
  signedIn(owner: KeyOwner): Promise<void>;
  /** Ends the connection. */
  refuse(reason: DisconnectReason, text: string): void;
  /** A defect, or the client's fault when it is a WireFault. */
  failed(cause: unknown): void;
}

/** One USERAUTH_REQUEST of the method publickey. */
interface KeyOffer {
  readonly algorithm: string;
  readonly blob: Buffer;
  /** Absent in a mere question. */
  readonly signature: Buffer | undefined;
  /** What a signature covers, without the session's id. */
  readonly signed: Buffer;
}

const userNames = new Set(['cpm', 'git']);
const mostWaiting = 10;
const mostFingerprints = 5;

/** The sign-in of one connection: RFC 4252 with public keys alone. */
export class Authentication {
  readonly #port: AuthPort;
  readonly #waiting: Buffer[] = [];
  readonly #fingerprints = new Set<string>();
  #busy = false;
  #over = false;
  #user: string | undefined;
  #askedMethods = false;
  #requests = 0;
  #failures = 0;

  constructor(port: AuthPort) {
    this.#port = port;
  }

  /** Keys that were offered in vain, the first five; undefined when nothing was tried. */
  get failedFingerprints(): readonly string[] | undefined {
    return this.#failures === 0 ? undefined : [...this.#fingerprints];
  }

  /** Takes a USERAUTH_REQUEST. They are answered one after the other. */
  request(payload: Buffer): void {
    if (this.#over) return;
    this.#waiting.push(payload);
    if (this.#waiting.length > mostWaiting) {
      this.#refuse('protocolError', 'cpm: protocol error: too many requests at once');
    } else if (!this.#busy) void this.#answerAll();
  }

  /** The connection ends: nothing is answered any more. */
  stop(): void {
    this.#over = true;
    this.#waiting.length = 0;
  }

  async #answerAll(): Promise<void> {
    this.#busy = true;
    try {
      for (;;) {
        const payload = this.#waiting.shift();
        if (payload === undefined) break;
        await this.#answer(payload);
      }
    } catch (error) {
      this.stop();
      this.#port.failed(error);
    } finally {
      this.#busy = false;
    }
  }

  async #answer(payload: Buffer): Promise<void> {
    const reader = new WireReader(payload, 1);
    const user = reader.string().toString();
    if (reader.text() !== 'ssh-connection') throw new WireFault('an unknown service');
    const method = reader.text();
    this.#user ??= user;
    if (user !== this.#user) throw new WireFault('the user name changed');
    this.#requests += 1;
    if (this.#requests > 2 * this.#port.tries + 2) return this.#refuseMore();
    if (method === 'none' && !this.#askedMethods) {
      this.#askedMethods = true;
      if (!userNames.has(user)) this.#port.send(messages.authBanner(wrongName));
      return this.#port.send(messages.authFailure());
    }
    const offer = method === 'publickey' ? readOffer(payload, reader) : undefined;
    const accepted = offer !== undefined && userNames.has(user) && (await this.#accepts(offer));
    if (!accepted) this.#fail();
  }

  async #accepts(offer: KeyOffer): Promise<boolean> {
    const { algorithm, blob, signature } = offer;
    if (this.#fingerprints.size < mostFingerprints) this.#fingerprints.add(fingerprint(blob));
    const owner = await this.#port.identify(blob);
    if (this.#over) return true;
    if (owner === undefined || !owner.blob.equals(blob)) return false;
    if (!signatureAlgorithms(owner.type).includes(algorithm)) return false;
    if (signature === undefined) {
      // A question proves nothing: it is answered and forgotten.
      this.#port.send(messages.authKeyOk(algorithm, blob));
      return true;
    }
    const data = Buffer.concat([wire(this.#port.sessionId()), offer.signed]);
    if (verifySignature(owner, { algorithm, blob: signature, data }) !== true) return false;
    this.stop();
    await this.#port.signedIn(owner);
    return true;
  }

  #fail(): void {
    if (this.#over) return;
    this.#failures += 1;
    if (this.#failures >= this.#port.tries) this.#refuseMore();
    else this.#port.send(messages.authFailure());
  }

  #refuseMore(): void {
    this.#failures = Math.max(this.#failures, 1);
    this.#refuse('noMoreAuthMethods', tooManyTries(this.#port.tries));
  }

  #refuse(reason: DisconnectReason, text: string): void {
    this.stop();
    this.#port.refuse(reason, text);
  }
}

const wrongName = 'cpm: the user name to sign in with is cpm or git: ssh cpm@SERVER\r\n';

function tooManyTries(tries: number): string {
  return (
    `cpm: ${tries} tries to sign in failed: none of the keys is known here. ` +
    'hint: offer one key alone: ssh -o IdentitiesOnly=yes -i KEYFILE …'
  );
}

function readOffer(payload: Buffer, reader: WireReader): KeyOffer {
  const signs = reader.boolean();
  const algorithm = reader.text();
  const blob = reader.string();
  const signed = payload.subarray(0, reader.at);
  const signature = signs ? reader.string() : undefined;
  reader.end();
  return { algorithm, blob, signature, signed };
}
