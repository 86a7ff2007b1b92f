import { flushPkt } from '../../model/pktline.ts';
import { type Program, send } from '../../programs/run.ts';
import type { ClientInput } from '../client.ts';
import type { PackTail } from './tail.ts';

/** What git is given: the rewritten commands, then the client's pack if one belongs to them. */
export interface Feed {
  readonly head: Buffer;
  readonly hasPack: boolean;
  readonly tail: PackTail;
  readonly packSizeBytes: number;
  /** Asked when all but the last bytes are with git. @returns whether they may follow */
  readonly mayEnd: () => Promise<boolean>;
}

/**
 * How feeding ended. `handed`: git has everything. `held`: the last bytes were not allowed. `deaf`: git stopped
 * reading before the end, its report tells why. `oversize`: the pack is longer than allowed.
 */
export type Fed = 'handed' | 'held' | 'deaf' | 'oversize';

/**
 * Passes a push to git as fast as git reads, its last bytes only after `mayEnd` has said yes. Without them git
 * changes nothing: a pack without its trailer, or commands without their flush packet, count for nothing.
 *
 * @throws UserError when the client is gone or may no longer be here
 */
export async function feed(child: Program, input: ClientInput, what: Feed): Promise<Fed> {
  if (!what.hasPack) {
    const last = what.head.length - flushPkt.length;
    if (!(await send(child, what.head.subarray(0, last)))) return 'deaf';
    return handOver(child, what, what.head.subarray(last));
  }
  if (!(await send(child, what.head))) return 'deaf';
  const { tail } = what;
  let size = 0;
  while (!tail.isComplete()) {
    const chunk = await input.chunk();
    if (chunk === undefined) break;
    size += chunk.length;
    if (size > what.packSizeBytes) return 'oversize';
    for (const bytes of tail.add(chunk)) {
      if (!(await send(child, bytes))) return 'deaf';
    }
  }
  return handOver(child, what, tail.held());
}

async function handOver(child: Program, what: Feed, last: Buffer): Promise<Fed> {
  if (!(await what.mayEnd())) return 'held';
  child.stdin.end(last);
  return 'handed';
}

/** After the report a client that says nothing for so long is not waited for. */
const silenceMs = 30_000;

/**
 * Reads away what a refused client still sends, because a client that is cut off while it sends may never read why.
 * Ends with the pack, the stream, the client, a long silence or after `maxBytes`.
 */
export async function drain(input: ClientInput, tail: PackTail, maxBytes: number): Promise<void> {
  let size = 0;
  try {
    while (size <= maxBytes && !tail.isComplete()) {
      const chunk = await withinSilence(input.chunk());
      if (chunk === undefined) return;
      size += chunk.length;
      tail.add(chunk);
    }
  } catch {
    // It is gone, which is as good as an end.
  }
}

async function withinSilence(chunk: Promise<Buffer | undefined>): Promise<Buffer | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), silenceMs);
  });
  try {
    return await Promise.race([chunk, silence]);
  } finally {
    clearTimeout(timer);
  }
}
