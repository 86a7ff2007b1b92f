const longestMs = 100;

/**
 * Holds our first key exchange offer back until the client's has arrived, so that it acknowledges that. Sent before, it
 * would have the client send its next packet behind an unacknowledged one: it waits in the client's kernel (RFC 896) for
 * the acknowledgement that ours puts off by 40 ms. A client that waits for our offer gets it soon.
 */
export class FirstOffer {
  readonly #write: (bytes: Buffer) => void;
  #held: Buffer[] | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param write - puts bytes on the wire, in the order they came */
  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  hold(): void {
    this.#held = [];
    this.#timer = setTimeout(() => this.release(), longestMs);
  }

  /** @returns whether it keeps the bytes for now */
  keeps(bytes: Buffer): boolean {
    this.#held?.push(bytes);
    return this.#held !== undefined;
  }

  /** Sends what is held; nothing is held any more. */
  release(): void {
    clearTimeout(this.#timer);
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const bytes of held) this.#write(bytes);
  }
}
