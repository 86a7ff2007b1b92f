import type { Socket } from 'node:net';

/** How much may wait in a socket: enough to keep the line busy, little enough to forget about. */
const mostWaiting = 256 * 1024;
const longestHoldMs = 100;

/** The way out of a connection. Packets of one turn of the loop leave in one system call. */
export class Outlet {
  readonly #socket: Socket;
  readonly #sent: (bytes: number) => void;
  #corked = false;
  #held: Buffer[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param sent - hears how many bytes were written */
  constructor(socket: Socket, sent: (bytes: number) => void) {
    this.#socket = socket;
    this.#sent = sent;
  }

  /** Whether the socket has enough for now; its `drain` says when not. */
  get full(): boolean {
    return this.#socket.writableLength >= mostWaiting;
  }

  /** Writes, unless the outlet is closed. */
  write(bytes: Buffer): void {
    if (this.#closed) return;
    if (this.#held !== undefined) {
      this.#held.push(bytes);
      return;
    }
    this.#cork();
    this.#socket.write(bytes);
    this.#sent(bytes.length);
  }

  /**
   * Holds our first key exchange offer back until the client's has arrived, so that it acknowledges that. Sent before,
   * it would have the client send its next packet behind an unacknowledged one: it waits in the client's kernel
   * (RFC 896) for the acknowledgement that ours puts off by 40 ms. A client that waits for our offer gets it soon.
   */
  hold(): void {
    this.#held = [];
    this.#timer = setTimeout(() => this.release(), longestHoldMs);
  }

  /** Sends what is held; nothing is held any more. */
  release(): void {
    clearTimeout(this.#timer);
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const bytes of held) this.write(bytes);
  }

  /** Sends what is held, and nothing after it. */
  close(): void {
    this.release();
    this.#closed = true;
  }

  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    setImmediate(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }
}
