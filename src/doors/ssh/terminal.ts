/** What typed keys lead to. */
export interface TerminalKeys {
  /** Shows what was typed. */
  echo(text: string): void;
  interrupt(): void;
  endInput(): void;
}

const longestLine = 4096;

/**
 * The little of a terminal's line discipline that answering a question needs: what is typed is shown, can be
 * corrected, and arrives line by line. There is no pty behind it.
 */
export class TerminalInput {
  readonly #keys: TerminalKeys;
  #line: number[] = [];

  constructor(keys: TerminalKeys) {
    this.#keys = keys;
  }

  /** Takes typed bytes. @returns the lines that they completed */
  take(bytes: Buffer): Buffer {
    const done: number[] = [];
    for (const byte of bytes) {
      if (byte === 0x0d || byte === 0x0a) {
        this.#keys.echo('\n');
        done.push(...this.#line, 0x0a);
        this.#line = [];
      } else this.#edit(byte);
    }
    return Buffer.from(done);
  }

  #edit(byte: number): void {
    switch (byte) {
      case 0x03:
        this.#keys.echo('^C\n');
        this.#line = [];
        this.#keys.interrupt();
        return;
      case 0x04:
        if (this.#line.length === 0) this.#keys.endInput();
        return;
      case 0x08:
      case 0x7f:
        this.#eraseOne();
        return;
      default:
        if (byte < 0x20 || this.#line.length >= longestLine) return;
        this.#line.push(byte);
        this.#keys.echo(String.fromCharCode(byte));
    }
  }

  #eraseOne(): void {
    // A character of UTF-8 is several bytes, all but the first of them 10xxxxxx.
    let byte = this.#line.pop();
    if (byte === undefined) return;
    while (byte !== undefined && (byte & 0xc0) === 0x80) byte = this.#line.pop();
    this.#keys.echo('\b \b');
  }
}
