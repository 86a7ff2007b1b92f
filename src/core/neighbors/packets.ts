import type { Readable } from 'node:stream';
import { UserError } from '../../model/errors.ts';
import { type Pkt, readPkt } from '../../model/pktline.ts';

/** Reads packets from somebody unknown: never more than is wanted, whatever they send and however slowly. */
export class Packets {
  readonly #chunks: AsyncIterator<Buffer>;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(stream: Readable) {
    this.#chunks = stream.iterator({ destroyOnReturn: false });
  }

  /**
   * @param mostBytes - of the packet, its length digits included
   * @returns undefined at the end of the stream
   * @throws UserError `usage` when it is no packet, or a longer one; Error when the stream breaks
   */
  async next(mostBytes: number): Promise<Pkt | undefined> {
    if (!(await this.#fill(4))) {
      if (this.#size === 0) return undefined;
      throw new UserError('usage', 'the stream ends within a packet');
    }
    const digits = this.#whole().subarray(0, 4);
    const short = readPkt(digits);
    const length = short === undefined ? Number.parseInt(digits.toString('latin1'), 16) : 4;
    if (length > mostBytes) {
      throw new UserError('usage', `a packet of ${length} bytes; ${mostBytes} are allowed here`);
    }
    if (!(await this.#fill(length))) {
      throw new UserError('usage', 'the stream ends within a packet');
    }
    const read = readPkt(this.#whole());
    if (read === undefined) throw new Error('a whole packet was read and is none');
    this.#keep(this.#whole().subarray(read.next));
    return read.pkt;
  }

  /** Lets go of the stream, so that another may read it. @returns what came behind the last packet */
  async release(): Promise<Buffer> {
    await this.#chunks.return?.();
    const left = this.#whole();
    this.#keep(Buffer.alloc(0));
    return left;
  }

  async #fill(bytes: number): Promise<boolean> {
    while (this.#size < bytes) {
      const { value, done } = await this.#chunks.next();
      if (done === true) return false;
      this.#parts.push(value);
      this.#size += value.length;
    }
    return true;
  }

  #whole(): Buffer {
    if (this.#parts.length === 1) return this.#parts[0] as Buffer;
    const whole = Buffer.concat(this.#parts);
    this.#keep(whole);
    return whole;
  }

  #keep(bytes: Buffer): void {
    this.#parts = bytes.length === 0 ? [] : [bytes];
    this.#size = bytes.length;
  }
}
