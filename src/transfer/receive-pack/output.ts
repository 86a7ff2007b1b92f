import type { Readable } from 'node:stream';
import { type Pkt, readPkt } from '../../model/pktline.ts';
import type { Program } from '../../programs/run.ts';
import { withoutPath } from '../pass.ts';
import type { Answer } from './answer.ts';
import { type Report, readReport } from './report.ts';

/** git's word for what a rule refused; the report says it better. */
const verdict = /^error: (denying non-fast-forward|hook declined to update) \S+( \(.*\))?\n?$/;

/** Bytes of a report: room for each command's longest name and a reason. */
const reportBytesPerRef = 4096;

/**
 * Reads all that receive-pack says: progress goes to the client at once, the report is kept.
 *
 * @returns the report; undefined when git ended without one
 */
export async function readOutput(
  child: Program,
  answer: Answer,
  { refs, directory }: { readonly refs: number; readonly directory: string },
): Promise<Report | undefined> {
  const progress = async (text: Buffer): Promise<void> => {
    if (!verdict.test(text.toString('latin1'))) await answer.progress(withoutPath(text, directory));
  };
  const [report] = await Promise.all([
    readBands(child.stdout, (refs + 1) * reportBytesPerRef, { ...answer, progress }),
    readErrors(child.stderr, progress),
  ]);
  return report;
}

async function readBands(
  stdout: Readable,
  maxBytes: number,
  answer: Pick<Answer, 'progress' | 'alive'>,
): Promise<Report | undefined> {
  const kept: Buffer[] = [];
  let size = 0;
  const take = async (packet: Pkt): Promise<void> => {
    if (packet.kind !== 'data') return;
    const text = packet.payload.subarray(1);
    if (packet.payload[0] !== 1) await answer.progress(text);
    else if (text.length === 0) await answer.alive();
    else if (size <= maxBytes) {
      size += text.length;
      kept.push(text);
    }
  };
  try {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of stdout) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let read = readPkt(rest); read !== undefined; read = readPkt(rest)) {
        rest = rest.subarray(read.next);
        await take(read.pkt);
      }
    }
  } catch {
    // Bytes that are no packets, or a pipe torn by a kill: what was understood until then is judged.
  }
  return size > maxBytes ? undefined : readReport(Buffer.concat(kept));
}

async function readErrors(
  stderr: Readable,
  progress: (text: Buffer) => Promise<void>,
): Promise<void> {
  try {
    for await (const chunk of stderr) await progress(chunk);
  } catch {
    // As above.
  }
}
