import type { Writable } from 'node:stream';
import { flushPkt, pkt, sideband } from '../../model/pktline.ts';
import { escapeControls } from '../../model/repo.ts';
import { writeLast, writeTo } from '../client.ts';
import type { Talk } from '../transfer.ts';
import type { CommandList } from './commands.ts';
import { writeReport } from './report.ts';

/** What the client hears while and after it pushes, in the form that it asked for. */
export interface Answer {
  /** Text for people, as it comes; may hold half a line. Left out when the client doesn't keep up after `hurry`. */
  progress(text: Uint8Array): Promise<void>;
  /** Tells a client that waits that somebody works for it. */
  alive(): Promise<void>;
  /** From now on nothing but the report is told: what git says when it is ended is no news. */
  mute(): void;
  /** From now on git waits for no client: what is done is done whether it listens or not. */
  hurry(): void;
  /**
   * The report, and with it the end.
   *
   * @param lines - for people, before the report, already safe to show
   * @param refused - per command of the list, in its order; undefined where it was done
   */
  report(ending: {
    readonly lines: readonly string[];
    readonly unpack: string;
    readonly refused: readonly (string | undefined)[];
  }): Promise<void>;
}

export function answerTo({ stdio, signal }: Talk, list: CommandList): Answer {
  const { capabilities, commands } = list;
  const banded = capabilities.has('side-band-64k');
  const reported = capabilities.has('report-status') || capabilities.has('report-status-v2');
  const hurried = new AbortController();
  const patience = AbortSignal.any([signal, hurried.signal]);
  const out = (bytes: Uint8Array): Promise<void> => writeLast(stdio.stdout, bytes, signal);
  const tell = (texts: readonly string[]): Promise<void> => {
    const text = Buffer.from(texts.map((one) => `${one}\n`).join(''));
    return banded ? out(sideband(2, text)) : writeLast(stdio.stderr, text, signal);
  };

  let muted = false;
  const aside = async (stream: Writable, bytes: Uint8Array): Promise<void> => {
    if (muted) return;
    if (!hurried.signal.aborted) await writeTo(stream, bytes, patience);
    else if (stream.writable && !stream.writableNeedDrain) stream.write(bytes);
  };
  return {
    progress: (text) =>
      banded ? aside(stdio.stdout, sideband(2, text)) : aside(stdio.stderr, text),
    alive: async () => {
      if (banded) await aside(stdio.stdout, pkt(Buffer.of(1)));
    },
    mute: () => {
      muted = true;
    },
    hurry: () => hurried.abort(),
    async report({ lines, unpack, refused }) {
      await tell(reported ? lines : [...lines, ...untold(list, refused)]);
      if (reported) {
        const names = commands.map(({ name }, at) => ({ name, refused: refused[at] }));
        const report = writeReport(unpack, names);
        await out(banded ? sideband(1, report) : report);
      }
      if (banded) await out(flushPkt);
    },
  };
}

/** What a client that asked for no report is told of it. */
function untold(list: CommandList, refused: readonly (string | undefined)[]): string[] {
  return list.commands.flatMap(({ ref }, at) => {
    const why = refused[at];
    return why === undefined ? [] : [`${escapeControls(ref)}: ${escapeControls(why)}`];
  });
}
