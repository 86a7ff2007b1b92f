const blockBytes = 32 * 1024;

/**
 * Bytes that wait, copied into blocks: a packet of one byte would otherwise hold many times its size.
 */
export class Blocks {
  readonly #full: Buffer[] = [];
  #last: Buffer | undefined;
  #lastUsed = 0;
  #size = 0;

  /** How many bytes wait. */
  get size(): number {
    return this.#size;
  }

  /** Adds a copy of the bytes. */
  add(bytes: Buffer): void {
    this.#size += bytes.length;
    let rest = bytes;
    while (rest.length > 0) {
      this.#last ??= Buffer.allocUnsafe(blockBytes);
      const taken = rest.copy(this.#last, this.#lastUsed);
      this.#lastUsed += taken;
      rest = rest.subarray(taken);
      if (this.#lastUsed === blockBytes) this.#close();
    }
  }

  /** Takes the first bytes, at most a block of them; an empty buffer when nothing waits. */
  take(): Buffer {
    if (this.#full.length === 0) this.#close();
    const block = this.#full.shift() ?? Buffer.alloc(0);
    this.#size -= block.length;
    return block;
  }

  clear(): void {
    this.#full.length = 0;
    this.#last = undefined;
    this.#lastUsed = 0;
    this.#size = 0;
  }

  #close(): void {
    if (this.#last === undefined) return;
    this.#full.push(this.#last.subarray(0, this.#lastUsed));
    this.#last = undefined;
    this.#lastUsed = 0;
  }
}
