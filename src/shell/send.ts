import type { Writable } from 'node:stream';

/**
 * Writes a chunk and waits until the stream takes more. A stream that is closed or breaks swallows it: who reads it is gone.
 */
export async function send(stream: Writable, chunk: string | Uint8Array): Promise<void> {
  if (stream.destroyed || stream.writableEnded || chunk.length === 0) return;
  if (stream.write(chunk)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      for (const event of ['drain', 'close', 'error']) stream.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'error']) stream.once(event, done);
  });
}
