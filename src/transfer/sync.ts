import { PeerDesk } from '../core/peering/desk.ts';
import { syncProgram } from '../core/peering/protocol.ts';
import { UserError } from '../model/errors.ts';
import { clientInput, writeTo } from './client.ts';
import { passTar, readTarWords } from './tar.ts';
import type { PeerTalk, PeerTransfer } from './transfer.ts';

/** Bytes of the longest question: a list of a million refs. */
const longestLine = 128 * 1024 * 1024;

/** The conversation that servers have with each other: questions and answers, one JSON object a line. */
export const sync: PeerTransfer = {
  program: syncProgram,
  plan: (words) => {
    const tar = readTarWords(words);
    if (tar !== undefined) {
      return { right: 'peer', action: 'sync', talk: (talk) => passTar(talk, tar) };
    }
    if (words.length > 0) throw new UserError('usage', `${syncProgram} does not know these words`);
    return { right: 'peer', action: 'sync', talk: converse };
  },
};

async function converse({ core, principal, by, stdio, signal }: PeerTalk) {
  const desk = new PeerDesk({ core, principal, by, signal });
  try {
    for await (const line of linesOf(stdio.stdin, signal)) {
      const answer = await answered(desk, core, line);
      await writeTo(stdio.stdout, Buffer.from(`${JSON.stringify(answer)}\n`), signal);
    }
  } finally {
    await desk.close();
  }
  return { status: 0, detail: { changed: desk.changed } };
}

async function answered(desk: PeerDesk, core: PeerTalk['core'], line: string): Promise<unknown> {
  try {
    return { ok: await desk.answer(JSON.parse(line)) };
  } catch (error) {
    if (error instanceof UserError) {
      const { code, message, hint } = error;
      return { error: { code, message, hint } };
    }
    core.log.error({ err: error }, "another server's question failed");
    return { error: { code: 'internal', message: 'a fault of cpm or the machine; see its log' } };
  }
}

async function* linesOf(stdin: PeerTalk['stdio']['stdin'], signal: AbortSignal) {
  const input = clientInput(stdin, signal);
  let parts: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const chunk = await input.chunk();
    if (chunk === undefined) return;
    let rest = chunk;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      yield Buffer.concat([...parts, rest.subarray(0, end)]).toString();
      parts = [];
      bytes = 0;
      rest = rest.subarray(end + 1);
    }
    parts.push(rest);
    bytes += rest.length;
    if (bytes > longestLine) throw new UserError('usage', 'a question is too long');
  }
}
