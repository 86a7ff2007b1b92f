import { readFile } from 'node:fs/promises';
import { resolve as resolvePath } from 'node:path';
import { addAbortSignal } from 'node:stream';
import type { Context } from '../commands/command.ts';
import type { Granted } from '../core/ask.ts';
import type { Core } from '../core/core.ts';
import { calledOtherwise, newName } from '../core/namespaces.ts';
import { statuses, UserError } from '../model/errors.ts';
import { askerText, principalText } from '../model/principal.ts';
import { quoted } from '../model/repo.ts';
import { sizeText } from '../model/units.ts';
import type { Globals } from './flags.ts';
import { keyWarning } from './key-warning.ts';
import { type Done, outcomeOf } from './outcome.ts';
import { printAnswer, printError } from './print.ts';
import { ProgressLine } from './progress.ts';
import { pushTurn } from './push-turn.ts';
import type { Request } from './request.ts';
import type { Resolved } from './resolve.ts';
import { send } from './send.ts';

type Found = Extract<Resolved, { kind: 'command' }>;

const usualFileBytes = 1024 * 1024;

/** Runs a command for whoever may: decided first, then done, then printed. */
export async function runCommand(
  core: Core,
  request: Request,
  { command, args, globals, habit }: Found,
): Promise<Done> {
  if (request.principal.kind === 'server' || request.principal.kind === 'invitee') {
    throw new UserError('denied', `commands are for people (${askerText(request.principal)})`);
  }
  const asks = command.asks && !globals.yes && !globals.dryRun;
  if (asks && !(await confirmed(request, `${command.words} can't be taken back.`))) {
    throw new UserError('usage', `${command.words} can't be taken back: it needs --yes`, {
      hint: 'look first with --dry-run, then repeat with --yes',
    });
  }
  const granted = await core.access.authorize(request.principal, command.needs(args));
  if (command.means !== undefined && !globals.yes) await tellMeaning(request, command.means(args));
  const { stdio, terminal } = request;
  const notes = newNames(granted, command.changes);
  const detail: Record<string, unknown> = {};
  const line = progressLine(request, globals);
  const context: Context = {
    core,
    principal: request.principal,
    by: actorOf(request, globals, async () =>
      checkSame(granted, await core.access.authorize(request.principal, command.needs(args))),
    ),
    granted,
    signal: request.signal,
    staySilent: () => request.staySilent?.(),
    local: request.door === 'local',
    configFile: globals.config && resolvePath(request.directory ?? '/', globals.config),
    byClock: request.door === 'clock',
    readFile: (file, largestBytes = usualFileBytes) =>
      readFileArgument(request, file, largestBytes),
    resolvePath: (path) => resolvePath(request.directory ?? '/', path),
    ask: terminal && ((question) => askPerson(request, question)),
    input: () => input(request),
    progress: line && ((now) => line.show(now)),
    note: (line) => notes.push(line),
    record: (more) => Object.assign(detail, more),
  };
  const running = inTurn(core, request, { command, context, args });
  const answer = await running.finally(() => line?.end());
  // Nothing but whether it was done: the status tells.
  const silent = globals.quiet && !globals.json && String(command.answer.required) === 'changed';
  if (!silent) {
    await printAnswer(stdio, { command, args, answer }, { json: globals.json, terminal });
  }
  // A list that was cut short because its reader may no longer be here is no success.
  const { aborted, reason } = request.signal;
  if (aborted && !command.changes && reason instanceof UserError) throw reason;
  if (globals.verbose) notes.push(`decided: ${granted.decision.why}`);
  if (terminal !== undefined) notes.push(...(await remarks(core, request, { command, habit })));
  if (globals.dryRun) notes.push('dry run: nothing was changed');
  if (!globals.quiet && notes.length > 0) await send(stdio.stderr, `${notes.join('\n')}\n`);
  const { repo, org, user } = granted;
  const refusal = command.refusal?.(answer);
  if (refusal !== undefined) return refuse(request, refusal, { globals, targetId: repo?.id });
  const status = statusOf(answer);
  return {
    status,
    acted: command.changes && !globals.dryRun,
    targetId: (repo ?? org ?? user)?.id ?? idOf(answer),
    detail,
    ...(status === statuses.corrupt ? { outcome: 'failed' as const } : {}),
  };
}

/** Runs it, where it counts as a push once it is its turn: it is decided anew after a wait. */
async function inTurn(
  core: Core,
  request: Request,
  { command, context, args }: Pick<Found, 'command' | 'args'> & { readonly context: Context },
): Promise<unknown> {
  if (!command.takesTurn) return command.run(context, args);
  const turn = await pushTurn(core.pushes, request);
  try {
    if (turn.waited) await context.by.stillMay?.();
    return await command.run(context, args);
  } finally {
    turn.leave();
  }
}

/** What to tell of an old name that was asked by. @throws UserError `denied` when something is to be changed by it */
function newNames({ repo, calledBefore }: Granted, changes: boolean): string[] {
  if (repo === undefined || calledBefore === undefined) return [];
  if (changes) throw calledOtherwise(calledBefore, repo.fullName);
  return [newName(calledBefore, repo.fullName)];
}

/** Who writes what a command changes. @param decide - decides anew */
function actorOf(
  { id, principal }: Request,
  { dryRun }: Globals,
  decide: () => Promise<void>,
): Context['by'] {
  return {
    principal: principalText(principal),
    keyId: 'keyId' in principal ? principal.keyId : undefined,
    request: id,
    dryRun,
    stillMay: onceMore(decide),
  };
}

/** Ends a request whose answer, printed by now, is a no. */
async function refuse(
  { id, stdio }: Request,
  refusal: UserError,
  { globals, targetId }: { globals: Globals; targetId: string | undefined },
): Promise<Done> {
  const { code, message, status } = refusal;
  await printError(stdio, refusal, { json: globals.json, requestId: id });
  return { status, outcome: outcomeOf(refusal), targetId, detail: { code, message } };
}

function progressLine(
  { stdio, terminal }: Request,
  { json, quiet }: Globals,
): ProgressLine | undefined {
  if (terminal === undefined || json || quiet) return undefined;
  // A line of progress that a slow terminal does not take is not waited for.
  return new ProgressLine((text) => stdio.stderr.write(text), terminal.columns);
}

/** What was true before a wait, for a lock or for standard input, may not be true any more (S11). */
function onceMore(decide: () => Promise<void>): () => Promise<void> {
  let decided = false;
  return async () => {
    if (decided) return;
    // What a command itself has changed by then must not stop it halfway.
    decided = true;
    await decide();
  };
}

/** @throws UserError `unavailable` when a name means another thing by now */
function checkSame(before: Granted, now: Granted): void {
  for (const kind of ['repo', 'org', 'user'] as const) {
    if (before[kind]?.id === now[kind]?.id) continue;
    throw new UserError('unavailable', 'what this is about was moved or removed meanwhile', {
      hint: 'look again, then repeat',
    });
  }
}

/** What a person at a terminal is told besides; scripts are told by git alone of a key that ends. */
async function remarks(
  core: Core,
  { principal }: Request,
  { command, habit }: Pick<Found, 'command' | 'habit'>,
): Promise<readonly string[]> {
  // The greeting says it by itself.
  const warning = command.words === '' ? undefined : await keyWarning(core, principal);
  const words = habit === undefined ? [] : [`in cpm's words: ${habit}`];
  return warning === undefined ? words : [...words, warning];
}

/** The id of what a command created. */
function idOf(answer: unknown): string | undefined {
  const made = typeof answer === 'object' && answer !== null && 'id' in answer;
  return made && typeof answer.id === 'string' ? answer.id : undefined;
}

/** Some answers are a no: a broken chain, a user who may not. */
function statusOf(answer: unknown): number {
  if (typeof answer !== 'object' || answer === null) return 0;
  if (Array.isArray(answer)) return Math.max(0, ...answer.map(statusOfRun));
  if ('reachable' in answer && answer.reachable === false) return statuses.unavailable;
  if ('ok' in answer && answer.ok === false) return statuses.corrupt;
  return 'allowed' in answer && answer.allowed === false ? statuses.denied : 0;
}

/** A run of sync that left something for a person to do is no success. */
function statusOfRun(row: unknown): number {
  const result =
    typeof row === 'object' && row !== null && 'result' in row ? row.result : undefined;
  if (result === 'conflict' || result === 'held') return statuses.conflict;
  return result === 'failed' ? statuses.unavailable : 0;
}

/** Tells what something will mean, and has it confirmed at a remote terminal. @throws UserError `usage` for a no */
async function tellMeaning(request: Request, meaning: string): Promise<void> {
  if (!atRemoteTerminal(request)) await send(request.stdio.stderr, `${meaning}\n`);
  else if (!(await confirmed(request, meaning))) {
    throw new UserError('usage', 'not confirmed: nothing was done');
  }
}

function atRemoteTerminal({ door, terminal }: Request): boolean {
  return door !== 'local' && terminal !== undefined;
}

/** Asks the person at a remote terminal. At a local one `cpm` itself has asked, before it sent the words. */
async function confirmed(request: Request, meaning: string): Promise<boolean> {
  if (!atRemoteTerminal(request)) return false;
  return askPerson(request, `${meaning} Do it?`);
}

async function askPerson(request: Request, question: string): Promise<boolean> {
  await send(request.stdio.stderr, `${question} [y/N] `);
  let line = '';
  for await (const chunk of input(request)) {
    line += String(chunk);
    if (line.includes('\n')) break;
  }
  return /^y(es)?\s*$/i.test(line);
}

async function readFileArgument(
  request: Request,
  file: string,
  largestBytes: number,
): Promise<Buffer> {
  if (file === '-') return readAll(request, largestBytes);
  if (request.directory === undefined) throw new UserError('usage', 'a file can only be "-" here');
  const path = resolvePath(request.directory, file);
  const content = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UserError('usage', `${quoted(file)} can't be read: ${cause.code ?? 'unknown'}`, {
      cause,
    });
  });
  return checkSize(content, file, largestBytes);
}

/** What stands on standard input, until its end or the request's. @throws UserError `unavailable` for the latter */
async function* input({ stdio, signal }: Request): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of addAbortSignal(signal, stdio.stdin)) yield chunk as Buffer;
  } catch (cause) {
    if (!signal.aborted) throw cause;
    // The door says why, where it was not the client that left.
    if (signal.reason instanceof UserError) throw signal.reason;
    throw new UserError('unavailable', 'interrupted: nothing was done', { cause });
  }
}

async function readAll(request: Request, largestBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input(request)) {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > largestBytes) break;
  }
  return checkSize(Buffer.concat(chunks), 'standard input', largestBytes);
}

function checkSize(content: Buffer, what: string, largestBytes: number): Buffer {
  if (content.length <= largestBytes) return content;
  throw new UserError('usage', `${what} is larger than ${sizeText(largestBytes)}`);
}
