/** Thrown when bytes from outside are not what their format says; its text is for the log. */
export class WireFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WireFault';
  }
}

/**
 * Reads the data types of RFC 4251 section 5, one after the other. Strings are views into the bytes given.
 *
 * Every method throws a WireFault where the bytes end too early.
 */
export class WireReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** How many bytes were read, counted from the first one given. */
  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    return this.#take(1).readUInt8(0);
  }

  boolean(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  string(): Buffer {
    return this.#take(this.uint32());
  }

  /** A string of names and the like: ASCII by its standard, read so that no byte can be lost. */
  text(): string {
    return this.string().toString('latin1');
  }

  /**
   * A positive mpint in its one shortest form, without the leading zero byte.
   *
   * @throws WireFault also for zero, negative and padded numbers
   */
  positive(): Buffer {
    const bytes = this.string();
    const [first = 0x80, second = 0] = bytes;
    if (first >= 0x80) throw new WireFault('a number is negative or zero');
    if (first > 0) return bytes;
    if (second < 0x80) throw new WireFault('a number has needless zero bytes');
    return bytes.subarray(1);
  }

  /** @throws WireFault when bytes are left */
  end(): void {
    if (this.left > 0) throw new WireFault(`${this.left} bytes follow the end`);
  }

  #take(length: number): Buffer {
    if (length > this.left) throw new WireFault('the bytes end too early');
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }
}

/** One field of a message: a number is a uint32, a boolean a byte, text and bytes are strings with their length. */
export type WireField = number | boolean | string | Buffer;

/** Puts fields together as RFC 4251 writes them. */
export function wire(...fields: readonly WireField[]): Buffer {
  return Buffer.concat(fields.flatMap(fieldBytes));
}

function fieldBytes(field: WireField): Buffer[] {
  if (typeof field === 'boolean') return [Buffer.of(field ? 1 : 0)];
  if (typeof field === 'number') return [uint32(field)];
  const bytes = typeof field === 'string' ? Buffer.from(field) : field;
  return [uint32(bytes.length), bytes];
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
