import { longestPayload, pkt, readPkt } from '../../model/pktline.ts';
import { escapeControls } from '../../model/repo.ts';

/** git's report-status or report-status-v2, as it passed on band 1. */
export interface Report {
  /** `ok`, or why the pack could not be taken. */
  readonly unpack: string;
  /** By ref: undefined when git took it, else its reason. A ref that git did not name is absent. */
  readonly refs: ReadonlyMap<string, string | undefined>;
}

/** One line of the report that the client reads. */
export interface ReportLine {
  /** The ref's name in the client's own bytes. */
  readonly name: Uint8Array;
  /** undefined: done. */
  readonly refused: string | undefined;
}

/**
 * Reads git's own report. Lines of the second version that add to an `ok` are left out: git writes them for
 * proc-receive hooks alone, and there are none here.
 *
 * @returns undefined when the report breaks off before its flush packet, or is none
 * @see gitprotocol-pack(5), Report Status
 */
export function readReport(bytes: Buffer): Report | undefined {
  const refs = new Map<string, string | undefined>();
  let unpack: string | undefined;
  let at = 0;
  try {
    for (;;) {
      const read = readPkt(bytes, at);
      if (read === undefined) return undefined;
      at = read.next;
      if (read.pkt.kind !== 'data') break;
      const line = read.pkt.payload.toString().replace(/\n$/, '');
      if (line.startsWith('unpack ')) unpack = line.slice('unpack '.length);
      else if (line.startsWith('ok ')) refs.set(line.slice('ok '.length), undefined);
      else if (line.startsWith('ng ')) addRefusal(refs, line.slice('ng '.length));
    }
  } catch {
    return undefined;
  }
  return unpack === undefined ? undefined : { unpack, refs };
}

function addRefusal(refs: Map<string, string | undefined>, rest: string): void {
  const blank = rest.indexOf(' ');
  if (blank < 0) refs.set(rest, 'refused by git');
  else refs.set(rest.slice(0, blank), rest.slice(blank + 1));
}

/** The report as one run of packets, flush packet included. */
export function writeReport(unpack: string, lines: readonly ReportLine[]): Buffer {
  return Buffer.concat([
    pkt(`unpack ${reasonText(unpack)}\n`),
    ...lines.map(({ name, refused }) => pkt(reportLine(name, refused))),
    Buffer.from('0000'),
  ]);
}

function reportLine(name: Uint8Array, refused: string | undefined): Buffer {
  // A name too long for its line is answered by as much of it as fits.
  const shown = name.subarray(0, longestPayload - longestReason * 4 - 8);
  return refused === undefined
    ? Buffer.concat([Buffer.from('ok '), shown, Buffer.from('\n')])
    : Buffer.concat([Buffer.from('ng '), shown, Buffer.from(` ${reasonText(refused)}\n`)]);
}

const longestReason = 500;

/** A reason fit for one line of a report: no control characters, not endless. */
function reasonText(reason: string): string {
  return escapeControls(reason.slice(0, longestReason));
}
