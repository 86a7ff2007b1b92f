import type { Writable } from 'node:stream';

/**
 * Writes a chunk and waits until the stream takes more. A stream that is closed or breaks swallows it: who reads it is gone.
 *
 * @returns false when nobody reads any more, so that a long answer can end there
 */
export async function send(stream: Writable, chunk: string | Uint8Array): Promise<boolean> {
  if (stream.destroyed || stream.writableEnded) return false;
  if (chunk.length === 0 || stream.write(chunk)) return true;
  await new Promise<void>((resolve) => {
    const done = () => {
      for (const event of ['drain', 'close', 'error']) stream.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'error']) stream.once(event, done);
  });
  return !stream.destroyed;
}
