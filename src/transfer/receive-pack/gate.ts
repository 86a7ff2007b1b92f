import type { Push } from '../../core/push.ts';
import { UserError } from '../../model/errors.ts';
import { nullOid } from '../../model/ref.ts';
import { type ClientInput, clientInput } from '../client.ts';
import { pass } from '../pass.ts';
import type { Talk } from '../transfer.ts';
import { answerTo } from './answer.ts';
import { type Attempt, type Ending, faultEnding, faultText } from './attempt.ts';
import { type CommandList, commandReader, plainCommand } from './commands.ts';
import { drain } from './feed.ts';
import { judge, type Refusals } from './judge.ts';
import { passOn } from './pass-on.ts';
import { packTail } from './tail.ts';

/**
 * The gate of a push: it reads what the push wants before git runs, has it decided, and passes it on to a real
 * receive-pack, whose report it holds until all is settled.
 *
 * @returns 0 when the client got its report, whatever it says; the status of a UserError that ended it, 6 over a limit
 * @throws UserError `usage` when the client speaks no git, ClientGone when it is gone; any other error is a defect
 */
export async function gate(talk: Talk, push: Push): Promise<number> {
  const advertised = await pass(
    talk,
    ['receive-pack', '--http-backend-info-refs', '.'],
    Buffer.alloc(0),
  );
  if (advertised !== 0) throw new Error(`receive-pack's advertisement ended with ${advertised}`);
  const input = clientInput(talk.stdio.stdin, talk.signal);
  const list = await readCommands(input, push.limits.refsPerPush);
  if (list.commands.length === 0) return 0;
  const answer = answerTo(talk, list);
  const attempt: Attempt = { talk, push, list, input, answer, tail: packTail() };
  const ending = list.overLimit ? tooMany(attempt) : await carryOut(attempt);
  await answer.report({ ...ending, lines: [...ending.lines, ...push.rules.explain()] });
  if (ending.fault !== undefined) throw ending.fault;
  // A client whose commands are all deletions sends nothing more.
  if (list.overLimit || list.commands.some((command) => command.new !== nullOid)) {
    await drain(input, attempt.tail, push.limits.packSizeBytes);
  }
  return ending.status;
}

async function readCommands(input: ClientInput, refsPerPush: number): Promise<CommandList> {
  const reader = commandReader(refsPerPush);
  for (;;) {
    const packet = await input.packet();
    if (packet === undefined) {
      const list = reader.list();
      if (list.commands.length === 0) return list;
      throw new UserError('usage', 'git protocol error: the command list breaks off');
    }
    if (reader.add(packet)) return reader.list();
  }
}

async function carryOut(attempt: Attempt): Promise<Ending> {
  const { list, push, talk } = attempt;
  let refused: Refusals = [];
  try {
    refused = await judge(list, push, talk.directory);
    const passed = list.commands.filter((_, at) => refused[at] === undefined);
    if (passed.length === 0) return { unpack: 'ok', refused, lines: [], status: 0 };
    return await passOn(attempt, refused, await push.admit(passed.map(plainCommand)));
  } catch (fault) {
    return ended(list, refused, fault);
  }
}

/** The end of a push that may not be as a whole, or that a defect ended. */
function ended(list: CommandList, refused: Refusals, fault: unknown): Ending {
  const why = faultText(fault);
  return {
    unpack: 'ok',
    refused: list.commands.map((_, at) => refused[at] ?? why),
    ...faultEnding(fault),
  };
}

function tooMany({ list, push }: Attempt): Ending {
  const { refsPerPush } = push.limits;
  const lines = [
    `a push may change ${refsPerPush} refs at most (limits.refs_per_push)`,
    'hint: push in several parts',
  ];
  return { unpack: 'ok', refused: list.commands.map(() => 'too many refs'), lines, status: 6 };
}
