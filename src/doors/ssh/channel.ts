import { Readable, Writable } from 'node:stream';
import { WireFault } from '../../model/sshwire.ts';
import type { Stdio } from '../../model/stdio.ts';
import { Blocks } from './blocks.ts';
import { messages } from './messages.ts';
import type { Transport } from './ssh2-internals.ts';
import { TerminalInput } from './terminal.ts';

/** The most bytes of one data packet, in both directions. RFC 4253 wants packets of 35000 bytes to be read. */
export const largestPacketBytes = 32 * 1024;
/** What a client may send before anybody reads it. */
export const firstWindowBytes = 64 * 1024;
const fullWindowBytes = 2 * 1024 * 1024;
const streamBytes = 16 * 1024;
const lingerMs = 1000;

/** The numbers that both sides gave the channel, and what the client takes at first. */
export interface ChannelNumbers {
  readonly local: number;
  readonly remote: number;
  readonly window: number;
  readonly packetBytes: number;
}

/** What a channel needs of its connection. */
export interface ChannelPort {
  readonly transport: Transport;
  /** Sends what channels have waiting, as far as the socket takes it. */
  pump(): void;
  /** Both sides have closed the channel. */
  closed(local: number): void;
}

interface Output {
  readonly bytes: Buffer;
  readonly stderr: boolean;
  sent: number;
  readonly done: (error?: Error) => void;
}

/**
 * One channel of a connection: three streams over the windows of RFC 4254. What a client doesn't read waits in the
 * streams of the one who writes, and what nobody here reads waits at the client, so that memory stays bounded.
 */
export class Channel implements Stdio {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly #numbers: ChannelNumbers;
  readonly #port: ChannelPort;
  readonly #outputs: Output[] = [];
  readonly #waiting = new Blocks();
  #remoteWindow: number;
  #window = firstWindowBytes;
  #fullWindow = firstWindowBytes;
  #received = 0;
  #written = 0;
  #discards = false;
  #inputEnded = false;
  #inputDone: (() => void) | undefined;
  #terminal: TerminalInput | undefined;
  #wantsInput = true;
  #finished: Promise<void> | undefined;
  #sentClose = false;
  #gone = false;

  constructor(numbers: ChannelNumbers, port: ChannelPort) {
    this.#numbers = numbers;
    this.#port = port;
    this.#remoteWindow = numbers.window;
    this.stdin = new Readable({ highWaterMark: streamBytes, read: () => this.#wanted() });
    this.stdout = this.#output(false);
    this.stderr = this.#output(true);
    // Whoever writes after the end of a connection must not bring the server down.
    for (const stream of [this.stdin, this.stdout, this.stderr])
      stream.on('error', () => undefined);
  }

  get remote(): number {
    return this.#numbers.remote;
  }

  /** Bytes written to standard error so far. */
  get errorBytes(): number {
    return this.#written;
  }

  /** From now on there is a terminal at the other end: line breaks are made for it, and keys are read as such. */
  becomeTerminal(interrupt: () => void): void {
    this.#terminal = new TerminalInput({
      echo: (text) => this.stdout.writable && this.stdout.write(Buffer.from(text, 'latin1')),
      interrupt,
      endInput: () => this.receiveEnd(),
    });
  }

  /** Whether data may still be sent. */
  get open(): boolean {
    return !this.#sentClose && !this.#gone;
  }

  #output(stderr: boolean): Writable {
    return new Writable({
      highWaterMark: streamBytes,
      write: (bytes: Buffer, _encoding, done) => {
        if (stderr) this.#written += bytes.length;
        if (!this.open) return done(new Error('the channel is closed'));
        const shown = this.#terminal === undefined ? bytes : withCarriageReturns(bytes);
        this.#outputs.push({ bytes: shown, stderr, sent: 0, done });
        this.#port.pump();
      },
    });
  }

  /** Sends one packet of what waits. @returns false when there is nothing, or no window for it */
  sendOne(): boolean {
    const [output] = this.#outputs;
    if (output === undefined || this.#remoteWindow === 0) return false;
    const { bytes, sent } = output;
    const length = Math.min(
      bytes.length - sent,
      this.#remoteWindow,
      this.#numbers.packetBytes,
      largestPacketBytes,
    );
    this.#remoteWindow -= length;
    output.sent += length;
    if (length > 0) {
      const piece = bytes.subarray(sent, output.sent);
      this.#port.transport.sendData(this.remote, piece, output.stderr);
    }
    if (output.sent === bytes.length) {
      this.#outputs.shift();
      output.done();
    }
    return true;
  }

  /** The client takes more bytes. @throws WireFault when that is more than there can be */
  adjust(bytes: number): void {
    this.#remoteWindow += bytes;
    if (this.#remoteWindow > 0xffff_ffff) throw new WireFault('a window grew too large');
    this.#port.pump();
  }

  /** Bytes of the client arrived. @throws WireFault when they are more than the window allows */
  receive(bytes: Buffer): void {
    if (bytes.length > this.#window || bytes.length > largestPacketBytes) {
      throw new WireFault('more was sent than the window allows');
    }
    if (this.#inputEnded) throw new WireFault('data was sent after its end');
    this.#window -= bytes.length;
    this.#received += bytes.length;
    if (this.#discards || !this.open) {
      this.#grant();
      return;
    }
    const read = this.#terminal === undefined ? bytes : this.#terminal.take(bytes);
    if (read.length === 0) this.#grant();
    else if (this.#wantsInput) this.#wantsInput = this.stdin.push(read);
    else this.#waiting.add(read);
  }

  /** The client has said all. */
  receiveEnd(): void {
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#endInput();
  }

  /** The client closed the channel. */
  receiveClose(): void {
    this.#inputEnded = true;
    if (!this.#sentClose) this.#port.transport.send(messages.close(this.remote));
    this.#sentClose = true;
    this.#port.closed(this.#numbers.local);
    this.drop();
  }

  /**
   * Tells the exit status once all output is on its way, then closes. Settles also when the client is gone.
   */
  finish(status: number): Promise<void> {
    this.#finished ??= this.#finish(status);
    return this.#finished;
  }

  async #finish(status: number): Promise<void> {
    await Promise.all([ended(this.stdout), ended(this.stderr)]);
    if (!this.open) return;
    const { transport } = this.#port;
    transport.send(messages.exitStatus(this.remote, status));
    transport.send(messages.eof(this.remote));
    this.#discards = true;
    this.#waiting.clear();
    this.#grant();
    // A client that is refused while it sends may take a closed channel for a broken one, and never read why.
    if (status !== 0 && this.#received > 0 && !this.#inputEnded) await this.#inputEnd();
    if (!this.open) return;
    transport.send(messages.close(this.remote));
    this.#sentClose = true;
    this.stdin.destroy();
  }

  /** The connection or the channel is over: nothing is written any more, and whoever waits is told. */
  drop(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#inputDone?.();
    this.#waiting.clear();
    for (const { done } of this.#outputs.splice(0)) done(new Error('the client is gone'));
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream.destroy();
  }

  async #inputEnd(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, lingerMs);
      this.#inputDone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #endInput(): void {
    this.#inputDone?.();
    if (!this.#discards && this.#waiting.size === 0) this.stdin.push(null);
  }

  /** Somebody reads: what waits goes to them, and the client may send more. */
  #wanted(): void {
    this.#wantsInput = true;
    // Node's streams ask ahead of anybody who reads: only what was really taken away opens the full window.
    const taken = this.#received - this.#waiting.size - this.stdin.readableLength;
    if (taken > 0) this.#fullWindow = fullWindowBytes;
    while (this.#wantsInput && this.#waiting.size > 0) {
      this.#wantsInput = this.stdin.push(this.#waiting.take());
    }
    if (this.#inputEnded) this.#endInput();
    else this.#grant();
  }

  #grant(): void {
    if (this.#inputEnded || !this.open) return;
    const held = this.#discards ? 0 : this.#waiting.size + this.stdin.readableLength;
    const more = this.#fullWindow - held - this.#window;
    if (more < this.#fullWindow / 4) return;
    this.#window += more;
    this.#port.transport.send(messages.windowAdjust(this.remote, more));
  }
}

/** Ends a stream and waits until all of it was taken, or it broke. */
async function ended(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.writableFinished) return;
  stream.end();
  await new Promise<void>((resolve) => {
    stream.once('finish', resolve);
    stream.once('close', resolve);
  });
}

function withCarriageReturns(bytes: Buffer): Buffer {
  // latin1 keeps every byte as it is.
  return Buffer.from(bytes.toString('latin1').replaceAll('\n', '\r\n'), 'latin1');
}
