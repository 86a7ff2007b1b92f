import { createHash } from 'node:crypto';

/** The end of a pack: the SHA-1 of all bytes before it. */
const trailerBytes = 20;

/**
 * Lets a pack pass but for its last 20 bytes, without which git takes nothing of it.
 * Some clients don't close their side behind the pack; then the trailer itself tells where it ends.
 */
export interface PackTail {
  /** @returns the bytes that may go on now */
  add(chunk: Buffer): readonly Buffer[];
  /** Whether what is held back is the SHA-1 of all that went on: then the pack is at its end. */
  isComplete(): boolean;
  /** What is held back. */
  held(): Buffer;
}

export function packTail(): PackTail {
  const sum = createHash('sha1');
  let tail: Buffer = Buffer.alloc(0);
  return {
    add(chunk) {
      const passed: Buffer[] = [];
      const over = tail.length + chunk.length - trailerBytes;
      if (over <= 0) {
        tail = Buffer.concat([tail, chunk]);
        return passed;
      }
      const fromTail = Math.min(over, tail.length);
      if (fromTail > 0) passed.push(tail.subarray(0, fromTail));
      if (over > fromTail) passed.push(chunk.subarray(0, over - fromTail));
      // A copy: the chunk's memory is not to be kept for twenty bytes of it.
      tail = Buffer.concat([tail.subarray(fromTail), chunk.subarray(over - fromTail)]);
      for (const bytes of passed) sum.update(bytes);
      return passed;
    },
    isComplete: () => tail.length === trailerBytes && sum.copy().digest().equals(tail),
    held: () => tail,
  };
}
