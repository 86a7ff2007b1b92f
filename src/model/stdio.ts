import type { Readable, Writable } from 'node:stream';

/** The three streams of a request, whatever door it came through. Bytes, never text, on stdin and stdout. */
export interface Stdio {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
}
