import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import ssh2 from 'ssh2';
import kexModule from 'ssh2/lib/protocol/kex.js';
import Protocol from 'ssh2/lib/protocol/Protocol.js';
import utils from 'ssh2/lib/protocol/utils.js';
import { type WireField, WireReader, wire } from '../../../src/model/sshwire.ts';

/** A message: its number and fields. */
export function message(type: number, ...fields: readonly WireField[]): Buffer {
  return Buffer.concat([Buffer.of(type), wire(...fields)]);
}

/** What became of a channel. */
export interface ChannelEnd {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly status: number | undefined;
  /** Names of what came, data left out, in order. */
  readonly order: readonly string[];
}

/** An SSH client that sends what no decent client would, one message at a time. */
export class RawClient {
  readonly socket: Socket;
  readonly protocol: Protocol;
  readonly received: Buffer[] = [];
  /** What comes is only kept here when nobody else takes it. */
  onMessage: ((payload: Buffer) => boolean) | undefined;
  /** Called when the server didn't know a message, with its number. */
  onUnimplemented: ((sequence: number) => void) | undefined;
  /** Called after each key exchange. */
  onReady: (() => void) | undefined;
  #changed: (() => void) | undefined;
  #ready = false;
  closed = false;

  constructor(port: number, { holdsNewKeys = false, kex, cipher, from }: RawOptions = {}) {
    const localAddress = from ?? '127.0.0.1';
    this.socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true });
    this.socket.setMaxListeners(100);
    this.protocol = new Protocol({
      server: false,
      ident: 'raw',
      ...(kex === undefined ? {} : { offer: offerOf(kex, cipher ?? []) }),
      onWrite: (bytes) => {
        // In the clear, the number of a message follows the packet's five first bytes.
        const holds = holdsNewKeys && !this.#ready && bytes[5] === 21;
        if (!holds) this.socket.write(bytes);
      },
      onError: () => this.socket.destroy(),
      onHeader: () => undefined,
      onHandshakeComplete: () => {
        this.#ready = true;
        this.onReady?.();
        this.#changed?.();
      },
      messageHandlers: {
        DISCONNECT: (_: unknown, reason: number, text: string) => {
          this.#keep(message(1, reason, text));
        },
      },
    });
    // ssh2 goes by the server's mark alone, whether or not its own was sent.
    const strict = kex === undefined || kex.some((name) => name.startsWith('kex-strict-c'));
    if (!strict) Object.assign(this.protocol, { _strictMode: false });
    const inner = this.protocol._onPayload;
    this.protocol._onPayload = (payload) => {
      if ((payload[0] ?? 0) < 50) {
        if (payload[0] === 3) this.onUnimplemented?.(payload.readUInt32BE(1));
        if (payload[0] === 6 || payload[0] === 7) this.#keep(payload);
        return inner.call(this.protocol, payload);
      }
      this.#keep(payload);
      return undefined;
    };
    this.socket.on('connect', () => this.protocol.start());
    this.socket.on('data', (bytes) => {
      try {
        this.protocol.parse(bytes, 0, bytes.length);
      } catch {
        this.socket.destroy();
      }
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.closed = true;
      this.#changed?.();
    });
  }

  #keep(payload: Buffer): void {
    // The bytes belong to the socket's chunk, which is decrypted in place.
    const copy = Buffer.from(payload);
    if (this.onMessage?.(copy) === true) return;
    this.received.push(copy);
    this.#changed?.();
  }

  async #until(found: () => boolean): Promise<void> {
    while (!found()) {
      if (this.closed) throw new Error('the server closed the connection');
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  async ready(): Promise<this> {
    await this.#until(() => this.#ready);
    return this;
  }

  send(payload: Buffer): void {
    const { write } = this.protocol._packetRW;
    const start = write.allocStart;
    const packet = write.alloc(payload.length);
    packet.set(payload, start);
    utils.sendPacket(this.protocol, write.finalize(packet));
  }

  /** Takes the next message of one of these numbers, leaving others. */
  async next(...types: readonly number[]): Promise<Buffer> {
    const fits = (payload: Buffer): boolean => types.includes(payload[0] ?? -1);
    await this.#until(() => this.received.some(fits));
    const [found] = this.received.splice(this.received.findIndex(fits), 1);
    if (found === undefined) throw new Error('nothing came');
    return found;
  }

  /** Waits for the end of the connection. @returns the disconnect's text */
  async end(): Promise<string> {
    if (!this.closed) await once(this.socket, 'close');
    const last = this.received.find((payload) => payload[0] === 1);
    if (last === undefined) return '';
    const reader = new WireReader(last, 1);
    reader.uint32();
    return reader.string().toString();
  }

  async startService(): Promise<void> {
    await this.ready();
    this.send(message(5, 'ssh-userauth'));
    await this.next(6);
  }

  /** A request to sign in, with a signature over what `change` makes of the algorithm and the signature. */
  offer(options: Offer): void {
    const { user = 'cpm', blob, algorithm, privateKey, signature } = options;
    const signs = privateKey !== undefined || signature !== undefined;
    const request = Buffer.concat([
      message(50, user, 'ssh-connection', 'publickey', signs, algorithm, blob),
    ]);
    if (!signs) {
      this.send(request);
      return;
    }
    const made =
      signature ??
      wire(algorithm, RawClient.sign(privateKey ?? '', this.sessionData(request), algorithm));
    this.send(Buffer.concat([request, wire(made)]));
  }

  sessionData(request: Buffer): Buffer {
    const kex = this.protocol._kex;
    if (kex === undefined) throw new Error('no key exchange');
    return Buffer.concat([wire(kex.sessionID), request]);
  }

  /** Signs in with an ed25519 key. */
  async signIn({ privateKey, blob }: { privateKey: string; blob: Buffer }): Promise<this> {
    await this.startService();
    this.offer({ blob, algorithm: 'ssh-ed25519', privateKey });
    await this.next(52);
    return this;
  }

  /** Opens a session. @returns the server's number for it */
  async open(local: number, window = 2 ** 21, packet = 32_768): Promise<number> {
    this.send(message(90, 'session', local, window, packet));
    return new WireReader(await this.next(91), 5).uint32();
  }

  request(channel: number, type: string, ...fields: readonly WireField[]): void {
    this.send(message(98, channel, type, true, ...fields));
  }

  /** Collects what a channel sends until it is closed; everything goes through here meanwhile. */
  collect(onData?: (size: number, stderr: boolean) => void): Promise<ChannelEnd> {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const order: string[] = [];
    let status: number | undefined;
    return new Promise((resolve) => {
      const done = (): void =>
        resolve({
          stdout: Buffer.concat(out),
          stderr: Buffer.concat(err).toString(),
          status,
          order,
        });
      this.socket.once('close', done);
      this.onMessage = (payload) => {
        const reader = new WireReader(payload, 5);
        switch (payload[0]) {
          case 94:
            out.push(reader.string());
            onData?.(out.at(-1)?.length ?? 0, false);
            return true;
          case 95:
            reader.uint32();
            err.push(reader.string());
            onData?.(err.at(-1)?.length ?? 0, true);
            return true;
          case 96:
            order.push('eof');
            return true;
          case 97:
            order.push('close');
            done();
            return true;
          case 98:
            order.push(reader.text());
            reader.boolean();
            status = reader.uint32();
            return true;
          case 99:
            order.push('success');
            return true;
          default:
            return false;
        }
      };
    });
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** The bytes of a signature, as SSH has them. */
  static sign(privateKey: string, data: Buffer, algorithm: string): Buffer {
    const parsed = ssh2.utils.parseKey(privateKey);
    if (parsed instanceof Error) throw parsed;
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    const hash = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512', 'ssh-rsa': 'sha1' }[
      algorithm
    ];
    const signature = key?.sign(data, hash);
    if (!Buffer.isBuffer(signature)) throw new Error('no signature was made');
    return signature;
  }
}

interface RawOptions {
  /** The loopback address that it comes from. */
  readonly from?: string;
  /** Never sends its NEWKEYS. */
  readonly holdsNewKeys?: boolean;
  /** The whole list, in place of ssh2's own with its marks for EXT_INFO and strict key exchange. */
  readonly kex?: readonly string[];
  readonly cipher?: readonly string[];
}

function offerOf(kex: readonly string[], cipher: readonly string[]) {
  const way = { cipher, mac: ['hmac-sha2-256'], compress: ['none'], lang: [] };
  return new kexModule.KexInit({ kex, serverHostKey: ['ssh-ed25519'], cs: way, sc: way });
}

interface Offer {
  readonly user?: string;
  readonly blob: Buffer;
  readonly algorithm: string;
  readonly privateKey?: string;
  /** Sent in place of a real one. */
  readonly signature?: Buffer;
}
