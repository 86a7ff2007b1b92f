import type { Readable, Writable } from 'node:stream';

/** The three streams of a request, whatever door it came through. Bytes, never text, on stdin and stdout. */
export interface Stdio {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /**
   * Has what comes next acknowledged as it comes, where that is held back otherwise (RFC 1122, 4.2.3.2): a client that
   * writes in small pieces waits 40 ms for it. Holds until more is written to stdout.
   */
  acknowledge?(): void;
}
