import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import type { Command } from '../../commands/command.ts';
import { commands, help, later, laterFlags } from '../../commands/index.ts';
import { version } from '../../commands/version.ts';
import type { Config } from '../../config.ts';
import { checkOwner, inspectHouse } from '../../core/house.ts';
import { createLog } from '../../log.ts';
import { UserError } from '../../model/errors.ts';
import type { Stdio } from '../../model/stdio.ts';
import type { Globals } from '../../shell/flags.ts';
import { parse } from '../../shell/parse.ts';
import { printAnswer, printError } from '../../shell/print.ts';
import type { Request, Terminal } from '../../shell/request.ts';

/** What `cpm …` was asked, read on the person's side before anything is opened. */
export interface Invocation {
  readonly globals: Globals;
  readonly command: Command;
  readonly args: Readonly<Record<string, unknown>>;
}

/** @throws UserError `usage` */
export function readInvocation(words: readonly string[]): Invocation {
  const { globals, command, args, topic } = parse(words, { commands, later, laterFlags }, false);
  if (globals.version) return { globals, command: version, args: {} };
  if (globals.help || command === undefined) {
    return { globals, command: help, args: { command: topic } };
  }
  return { globals, command, args };
}

/** Where words that are no command say that the data directory and the configuration are, as far as can be told. */
export function placeOf(words: readonly string[]): { dataDir?: string; config?: string } {
  const given = (flag: string): string | undefined => {
    const at = words.findIndex((word) => word === flag || word.startsWith(`${flag}=`));
    const word = words[at];
    return word === flag ? words[at + 1] : word?.slice(flag.length + 1);
  };
  const dataDir = given('--data-dir');
  const config = given('--config');
  return { ...(dataDir && { dataDir }), ...(config && { config }) };
}

/** Answers what needs no data directory. @returns undefined for all else */
export async function answerOffline(
  { globals, command, args }: Invocation,
  stdio: Stdio,
): Promise<number | undefined> {
  if (command.offline === undefined) return undefined;
  const answer = await command.offline(args);
  if (answer === undefined) return undefined;
  await printAnswer(
    stdio,
    { command, args, answer },
    { json: globals.json, terminal: terminalOf() },
  );
  return 0;
}

/** Answers what the configuration alone says, where no data directory is yet. @returns undefined for all else */
export async function answerBeforehand(
  config: Config,
  { globals, command, args }: Invocation,
  stdio: Stdio,
): Promise<number | undefined> {
  if (command.beforehand === undefined || (await isThere(config))) return undefined;
  const answer = await command.beforehand(config, args);
  const said = { command, args, answer };
  await printAnswer(stdio, said, { json: globals.json, terminal: terminalOf() });
  return 0;
}

/** @throws UserError `denied` where another account has it, `unavailable` where some of it is missing */
async function isThere({ dataDir, databasePath }: Config): Promise<boolean> {
  return (await checkOwner(dataDir)) && (await inspectHouse(dataDir, databasePath)) === 'complete';
}

/** The terminal that this process writes to; undefined where its output goes elsewhere. */
export function terminalOf(): Terminal | undefined {
  if (!process.stdout.isTTY) return undefined;
  return { columns: process.stdout.columns, colour: (process.stdout.getColorDepth?.() ?? 1) > 1 };
}

/** A question to the person at the terminal; undefined without one. */
export function askerOf(): ((question: string) => Promise<boolean>) | undefined {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  return async (question) => {
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await lines.question(`${question} [y/N] `);
    lines.close();
    return /^y(es)?$/i.test(answer.trim());
  };
}

/**
 * Words with the person's confirmation in them, where the command needs one and there is a terminal to ask at.
 *
 * @throws UserError `usage` when the person says no
 */
export async function confirmed(
  words: readonly string[],
  { globals, command, args }: Invocation,
): Promise<readonly string[]> {
  const confirm = askerOf();
  const asks = command.asks || command.means !== undefined;
  if (!asks || globals.yes || globals.dryRun || confirm === undefined) return words;
  const meaning = command.means?.(args) ?? `${command.words} can't be taken back.`;
  if (await confirm(`${meaning} Do it?`)) return ['--yes', ...words];
  throw new UserError('usage', 'not confirmed: nothing was done');
}

/** The operator's request, for when this process carries it out itself. */
export function localRequest(words: readonly string[], stdio: Stdio, signal: AbortSignal): Request {
  return {
    id: randomUUID(),
    door: 'local',
    principal: { kind: 'operator' },
    address: undefined,
    words,
    gitProtocol: undefined,
    stdio,
    signal,
    terminal: terminalOf(),
    directory: process.cwd(),
  };
}

/** Tells what went wrong before a request could be made; a fault is logged on stderr. @returns the exit status */
export async function tell(
  stdio: Stdio,
  error: unknown,
  words: readonly string[],
): Promise<number> {
  const requestId = randomUUID();
  if (!(error instanceof UserError)) {
    createLog('error').error({ err: error, request: requestId }, 'not started');
  }
  return printError(stdio, error, { json: words.includes('--json'), requestId });
}
