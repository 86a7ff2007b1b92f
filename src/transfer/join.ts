import { answerInvitee, type JoinQuestion, joinProgram } from '../core/peering/invite.ts';
import { UserError } from '../model/errors.ts';
import { clientInput, writeTo } from './client.ts';
import type { JoinTalk, PeerTransfer } from './transfer.ts';

const longestBytes = 64 * 1024;

/** What a server asks that signed in with the code of an invitation: one question, one answer. */
export const join: PeerTransfer = {
  program: joinProgram,
  plan: (words) => {
    if (words.length > 0) throw new UserError('usage', `${joinProgram} takes no arguments`);
    return { right: 'join', action: 'join', talk: answer };
  },
};

async function answer({ core, principal, by, stdio, signal }: JoinTalk) {
  const asked = await readQuestion(stdio.stdin, signal);
  const said = await answerInvitee(core, { principal, by }, asked).then(
    (ok) => ({ ok }),
    (error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      const { code, message, hint } = error;
      return { error: { code, message, hint } };
    },
  );
  await writeTo(stdio.stdout, Buffer.from(`${JSON.stringify(said)}\n`), signal);
  const { verb, url } = asked;
  return { status: 'ok' in said ? 0 : 4, detail: { verb, url } };
}

async function readQuestion(
  stdin: JoinTalk['stdio']['stdin'],
  signal: AbortSignal,
): Promise<JoinQuestion> {
  const input = clientInput(stdin, signal);
  const parts: Buffer[] = [];
  for (let bytes = 0; ; ) {
    const chunk = await input.chunk();
    if (chunk === undefined) break;
    parts.push(chunk);
    bytes += chunk.length;
    if (bytes > longestBytes) throw new UserError('usage', 'the question is too long');
  }
  try {
    const asked = JSON.parse(String(Buffer.concat(parts))) as JoinQuestion | null;
    if (asked?.verb === 'ask' || asked?.verb === 'take') return asked;
  } catch (cause) {
    throw new UserError('usage', 'the question can not be read', { cause });
  }
  throw new UserError('usage', 'this question is not in this version');
}
