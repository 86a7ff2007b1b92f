import constants from 'ssh2/lib/protocol/constants.js';
import crypto from 'ssh2/lib/protocol/crypto.js';
import kexModule, { type KexInit } from 'ssh2/lib/protocol/kex.js';
import Protocol from 'ssh2/lib/protocol/Protocol.js';
import utils from 'ssh2/lib/protocol/utils.js';
import { UserError } from '../../model/errors.ts';
import { fingerprint } from '../../model/sshkey.ts';
import { algorithms } from './algorithms.ts';
import { readHostKey } from './host-key.ts';
import { messages } from './messages.ts';

// ssh2's own Server, Client and Channel are not used: they drop the result of socket.write(), trust the client
// with its window, mix up blocked chunks of stdout and stderr, answer for another algorithm than was asked, and
// know no limits. From ssh2 come the key exchange, the ciphers and the packets alone, and this is the one file
// that knows how.

/** The server's identity on the wire, made once and shared by all connections. */
export interface HostIdentity {
  readonly keys: Readonly<Record<string, unknown>>;
  readonly offer: KexInit;
  /** `SHA256:…` of each host key, in the order given. */
  readonly fingerprints: readonly string[];
}

/**
 * Reads the host keys and makes what is offered to every client.
 *
 * @param privateKeys - texts of OpenSSH private key files without a passphrase
 * @throws UserError `usage` for a key that can't be a host key; Error when the installed ssh2 is another than this
 * file was written for
 */
export async function loadHostIdentity(privateKeys: readonly string[]): Promise<HostIdentity> {
  await crypto.init;
  const keys: Record<string, unknown> = Object.create(null);
  const fingerprints: string[] = [];
  for (const text of privateKeys) {
    const key = readHostKey(text);
    if (keys[key.type] !== undefined) continue;
    keys[key.type] = key;
    fingerprints.push(fingerprint(key.getPublicSSH()));
  }
  if (fingerprints.length === 0) {
    throw new UserError('usage', 'there is no host key', {
      hint: 'make one with: ssh-keygen -t ed25519 -N "" -f FILE',
    });
  }
  const direction = {
    cipher: algorithms.cipher,
    mac: algorithms.mac,
    // Compression before sign-in would let anybody fill the memory with a small packet.
    compress: ['none'],
    lang: [],
  };
  const offer = new kexModule.KexInit({
    kex: [...algorithms.kex, 'kex-strict-s-v00@openssh.com'],
    serverHostKey: Object.keys(keys),
    cs: direction,
    sc: direction,
  });
  const identity = { keys, offer, fingerprints };
  checkShape(identity);
  return identity;
}

/** The installed ssh2 must look like the one that this file was written for. */
function checkShape(identity: HostIdentity): void {
  const { SUPPORTED_KEX, SUPPORTED_CIPHER, SUPPORTED_MAC } = constants;
  const protocol = makeProtocol(identity, {
    write: () => undefined,
    identified: () => undefined,
    offered: () => undefined,
    keysChanged: () => undefined,
    payload: () => undefined,
    failed: () => undefined,
  });
  const writer = protocol._packetRW.write;
  const fits = [
    algorithms.kex.every((name) => SUPPORTED_KEX.includes(name)),
    algorithms.cipher.every((name) => SUPPORTED_CIPHER.includes(name)),
    algorithms.mac.every((name) => SUPPORTED_MAC.includes(name)),
    [protocol.start, protocol.parse, protocol.rekey, protocol.cleanup].every(isFunction),
    [protocol.channelData, protocol.channelExtData, protocol._onPayload].every(isFunction),
    [writer.alloc, writer.finalize, utils.sendPacket, protocol._destruct].every(isFunction),
    [writer.allocStart, writer.allocStartKEX].every((start) => start === 5),
    ['_decipher', '_kex', '_kexinit', '_queue', '_strictMode'].every((name) => name in protocol),
  ];
  protocol.cleanup();
  const fault = fits.indexOf(false);
  if (fault >= 0) throw new Error(`this is not the ssh2 that cpm was written for (check ${fault})`);
}

const isFunction = (value: unknown): boolean => typeof value === 'function';

/** What a transport tells its owner. None of these may throw. */
export interface TransportEvents {
  write(bytes: Buffer): void;
  /** The client said its name; the key exchange begins. */
  identified(): void;
  /** The client's first offer has arrived. */
  offered(): void;
  /** A key exchange has ended; the first one may have been followed by other messages already. */
  keysChanged(): void;
  /** A message of the layers above, decrypted and verified. */
  payload(payload: Buffer): void;
  /** The client broke the protocol; nothing is read any more, but a last word may still go out. `tooLong`: by a packet
   * longer than ssh2 takes (35000 bytes). */
  failed(cause: Error, tooLong: boolean): void;
}

function makeProtocol({ keys, offer }: HostIdentity, events: TransportEvents): Protocol {
  return new Protocol({
    server: true,
    hostKeys: keys,
    ident: 'cpm',
    offer,
    onWrite: (bytes) => events.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes),
    onError: (error) => events.failed(error, false),
    onHeader: () => events.identified(),
    onHandshakeComplete: () => events.keysChanged(),
    messageHandlers: {},
  });
}

// An ident line has at most 255 bytes; ssh2 lets a line of carriage returns grow without an end.
const longestIdentBytes = 8 * 1024;

/** The transport layer of RFC 4253 for one connection: bytes of the socket on one side, messages on the other. */
export class Transport {
  readonly #events: TransportEvents;
  readonly #protocol: Protocol;
  #identBytes = 0;
  #identified = false;
  #wantsExtensions = false;
  /** Waits for the client's first NEWKEYS. */
  #inbound: Protocol['_decipher'];
  /** Nothing is read any more; sending may still be possible. */
  #deaf = false;

  constructor(identity: HostIdentity, events: TransportEvents) {
    this.#events = events;
    this.#protocol = makeProtocol(identity, {
      ...events,
      identified: () => {
        this.#identified = true;
        this.#watchFirstExchange();
        events.identified();
      },
      keysChanged: () => {
        if (this.#wantsExtensions) this.send(messages.extInfo());
        this.#wantsExtensions = false;
        events.keysChanged();
      },
      failed: (cause) => this.#fail(cause),
    });
    const inner = this.#protocol._onPayload;
    this.#protocol._onPayload = (payload) => this.#onPayload(payload, inner);
  }

  /** Sends the ident line. */
  start(): void {
    this.#protocol.start();
  }

  /** Takes what the socket read. Faults of the client are told through `failed`. */
  receive(bytes: Buffer): void {
    if (this.#deaf) return;
    try {
      this.#protocol.parse(bytes, 0, bytes.length);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
    if (this.#identified) return;
    this.#identBytes += bytes.length;
    if (this.#identBytes > longestIdentBytes) this.#fail(new Error('the ident line has no end'));
  }

  /** Sends a message; during a key exchange it waits in a queue. */
  send(payload: Buffer): void {
    if (this.#mute) return;
    const writer = this.#protocol._packetRW.write;
    const start = writer.allocStart;
    const packet = writer.alloc(payload.length);
    packet.set(payload, start);
    utils.sendPacket(this.#protocol, writer.finalize(packet));
  }

  /** Sends a message at once, also within a key exchange, as only a disconnect may be. */
  sendNow(payload: Buffer): void {
    if (this.#mute) return;
    const writer = this.#protocol._packetRW.write;
    const start = writer.allocStartKEX;
    const packet = writer.alloc(payload.length, true);
    packet.set(payload, start);
    utils.sendPacket(this.#protocol, writer.finalize(packet, true), true);
  }

  /** Sends bytes of a channel with one copy less than `send`. */
  sendData(channel: number, bytes: Buffer, stderr: boolean): void {
    if (this.#mute) return;
    if (stderr) this.#protocol.channelExtData(channel, bytes, 1);
    else this.#protocol.channelData(channel, bytes);
  }

  /** Whether a key exchange is under way, during which nothing else goes out. */
  get exchanging(): boolean {
    return this.#protocol._kexinit !== undefined;
  }

  /** How many messages wait for the end of a key exchange. */
  get queued(): number {
    return this.#protocol._queue?.length ?? 0;
  }

  /** The first exchange's hash: what a sign-in is bound to. */
  get sessionId(): Buffer {
    const id = this.#protocol._kex?.sessionID;
    if (id === undefined) throw new Error('no key exchange has ended');
    return id;
  }

  /** The number of the packet that was read last, for an UNIMPLEMENTED. */
  get lastSequence(): number {
    return ((this.#protocol._decipher?.inSeqno ?? 1) - 1) >>> 0;
  }

  /** Begins a key exchange, unless one is under way. */
  rekey(): void {
    if (!this.#mute) this.#protocol.rekey();
  }

  /** Gives the ciphers' memory back; nothing is sent or read any more. */
  free(): void {
    this.#deaf = true;
    this.#protocol.cleanup();
  }

  get #mute(): boolean {
    return this.#protocol._destruct === undefined;
  }

  #fail(cause: Error): void {
    if (this.#deaf) return;
    this.#deaf = true;
    this.#events.failed(cause, cause.message.startsWith('Bad packet length'));
  }

  #onPayload(payload: Buffer, inner: (payload: Buffer) => unknown): unknown {
    const type = payload[0];
    // 1 to 49: the transport's own, of which ssh2 handles all but a service request.
    if (type !== undefined && type < 50 && type !== messages.serviceRequest) {
      return inner.call(this.#protocol, payload);
    }
    this.#events.payload(payload);
    // What is left of the chunk must not be read once the connection is over.
    return this.#deaf ? Number.POSITIVE_INFINITY : undefined;
  }

  // EXT_INFO belongs right behind our own NEWKEYS. ssh2 changes both directions at the client's NEWKEYS, which is
  // too late for libssh: it chooses its signature algorithm as soon as it has sent that. Its list of algorithms
  // lacks a comma besides. So the outgoing direction changes here, by the two halves of ssh2's own last step.
  #watchFirstExchange(): void {
    const decipher = this.#protocol._decipher;
    if (decipher === undefined) return;
    const inner = decipher._onPayload;
    decipher._onPayload = (payload) => {
      if (payload[0] === messages.keyExchangeInit) this.#events.offered();
      if (this.#inbound !== undefined && payload[0] === messages.newKeys)
        return this.#changeInbound();
      const result = inner.call(decipher, payload);
      const kex = this.#protocol._kex;
      if (kex === undefined || this.#deaf) return result;
      if (kex.remoteExtInfoEnabled) this.#wantsExtensions = true;
      kex.remoteExtInfoEnabled = false;
      if (kex._sentNEWKEYS && this.#inbound === undefined) this.#changeOutbound(kex);
      return result;
    };
  }

  #changeOutbound(kex: NonNullable<Protocol['_kex']>): void {
    const clear = this.#protocol._decipher;
    kex.finish(true);
    this.#inbound = this.#protocol._decipher;
    this.#protocol._decipher = clear;
    kex.finish();
  }

  #changeInbound(): false {
    const clear = this.#protocol._decipher;
    const inbound = this.#inbound;
    if (clear === undefined || inbound === undefined) throw new Error('no key exchange has ended');
    inbound.inSeqno = this.#protocol._strictMode === true ? 0 : clear.inSeqno;
    this.#protocol._decipher = inbound;
    this.#inbound = undefined;
    // What comes next from the client waits in its kernel until this packet is acknowledged (RFC 896), which our kernel
    // puts off by 40 ms unless something goes out at once: so something does.
    this.send(messages.ignore());
    return false;
  }
}
