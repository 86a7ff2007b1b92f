import type { Push } from '../../core/push.ts';
import { UserError } from '../../model/errors.ts';
import { ClientGone, type ClientInput } from '../client.ts';
import type { Talk } from '../transfer.ts';
import type { Answer } from './answer.ts';
import type { CommandList } from './commands.ts';
import type { Refusals } from './judge.ts';
import type { PackTail } from './tail.ts';

/** One push under way, past its command list. */
export interface Attempt {
  readonly talk: Talk;
  readonly push: Push;
  readonly list: CommandList;
  readonly input: ClientInput;
  readonly answer: Answer;
  readonly tail: PackTail;
}

/** How a push ended. */
export interface Ending {
  readonly unpack: string;
  /** Per command of the list. */
  readonly refused: Refusals;
  /** Lines for people, safe to show. */
  readonly lines: readonly string[];
  readonly status: number;
  /** What is to be thrown once the client was told. */
  readonly fault?: unknown;
}

/** What a client is told of a fault, and what becomes of it. */
export function faultEnding(fault: unknown): Pick<Ending, 'lines' | 'status' | 'fault'> {
  if (!(fault instanceof UserError)) return { lines: [], status: 1, fault };
  const lines = fault.hint === undefined ? [] : [`hint: ${fault.hint}`];
  return { lines, status: fault.status, ...(fault instanceof ClientGone ? { fault } : {}) };
}

/** A fault as the reason of a refusal. */
export function faultText(fault: unknown): string {
  return fault instanceof UserError ? fault.message : 'internal error';
}
