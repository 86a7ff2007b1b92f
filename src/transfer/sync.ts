import { PeerDesk } from '../core/peering/desk.ts';
import { claimFor, heed } from '../core/peering/lead.ts';
import { syncProgram } from '../core/peering/protocol.ts';
import { readQuestion } from '../core/peering/question.ts';
import { UserError } from '../model/errors.ts';
import { clientInput, writeTo } from './client.ts';
import { passTar, readTarWords } from './tar.ts';
import type { PeerTalk, PeerTransfer } from './transfer.ts';

/** Bytes of the longest question: a list of a million refs. */
const longestLine = 128 * 1024 * 1024;

const aliveMs = 15_000;

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
    const over = () => core.couriers.leaving.aborted && !desk.isBusy;
    for await (const line of linesOf(stdio.stdin, signal, {
      over,
      leaving: core.couriers.leaving,
    })) {
      const say = (words: unknown) =>
        writeTo(stdio.stdout, Buffer.from(`${JSON.stringify(words)}\n`), signal);
      // Whoever waits is to know a long answer from a dead connection.
      const alive = setInterval(() => void say({ busy: true }).catch(() => undefined), aliveMs);
      const answer = await answered(desk, { core, principal }, line).finally(() =>
        clearInterval(alive),
      );
      const claim = await claimFor(core, principal.id);
      await say(claim === undefined ? answer : { ...answer, claim });
    }
  } finally {
    await desk.close();
  }
  return { status: 0, detail: { changed: desk.changed } };
}

async function answered(
  desk: PeerDesk,
  { core, principal }: Pick<PeerTalk, 'core' | 'principal'>,
  line: string,
): Promise<object> {
  try {
    const question = readQuestion(line);
    // Whatever else it wants: that another leads in this server's place counts before the answer is made.
    await heed(core, principal.id, question['claim']);
    return { ok: await desk.answer(question) };
  } catch (error) {
    if (error instanceof UserError) {
      const { code, message, hint } = error;
      return { error: { code, message, hint } };
    }
    core.log.error({ err: error }, "another server's question failed");
    return { error: { code: 'internal', message: 'a fault of cpm or the machine; see its log' } };
  }
}

/** @param how - `over`: whether no more is waited for, looked at once `leaving` aborts */
async function* linesOf(
  stdin: PeerTalk['stdio']['stdin'],
  signal: AbortSignal,
  { over, leaving }: { over(): boolean; leaving: AbortSignal },
) {
  const input = clientInput(stdin, signal);
  let parts: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const chunk = await until(input.chunk(), leaving, over);
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

/** What comes next; undefined once it is over. */
async function until<T>(
  next: Promise<T>,
  leaving: AbortSignal,
  over: () => boolean,
): Promise<T | undefined> {
  // Once nobody waits for it, its failure is nobody's.
  next.catch(() => undefined);
  if (over()) return undefined;
  let look = () => {};
  const left = new Promise<undefined>((resolve) => {
    look = () => over() && resolve(undefined);
    leaving.addEventListener('abort', look);
  });
  return Promise.race([next, left]).finally(() => leaving.removeEventListener('abort', look));
}
