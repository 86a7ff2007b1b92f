import type { Command } from '../commands/command.ts';
import { UserError } from '../model/errors.ts';
import { escapeControls } from '../model/repo.ts';
import type { Stdio } from '../model/stdio.ts';
import type { Terminal } from './request.ts';
import { send } from './send.ts';

/** How an answer is to be shown. */
export interface Style {
  readonly json: boolean;
  readonly terminal: Terminal | undefined;
}

/** Rows held back to align a table's columns; what comes later keeps their widths. */
const alignedRows = 200;

/** Prints a command's answer: one JSON document, or text for people. Lists stream. */
export async function printAnswer(
  { stdout }: Stdio,
  { command, answer }: { command: Command; answer: unknown },
  style: Style,
): Promise<void> {
  if (command.columns !== undefined && command.cells !== undefined) {
    const rows = answer as AsyncIterable<unknown>;
    await (style.json ? printJsonRows(stdout, rows) : printTable(stdout, rows, command, style));
    return;
  }
  const text = style.json ? JSON.stringify(answer) : command.text(answer);
  if (text !== '') await send(stdout, `${style.json ? text : safe(text)}\n`);
}

async function printJsonRows(stdout: Stdio['stdout'], rows: AsyncIterable<unknown>): Promise<void> {
  let separator = '[';
  for await (const row of rows) {
    await send(stdout, `${separator}${JSON.stringify(row)}`);
    separator = ',\n';
  }
  await send(stdout, separator === '[' ? '[]\n' : ']\n');
}

async function printTable(
  stdout: Stdio['stdout'],
  rows: AsyncIterable<unknown>,
  command: Command,
  style: Style,
): Promise<void> {
  const heads = command.columns ?? [];
  const held: (readonly string[])[] = [];
  let widths: readonly number[] | undefined;
  const line = (cells: readonly string[]) =>
    `${cells
      .map((cell, index) => cell.padEnd(widths?.[index] ?? 0))
      .join('  ')
      .trimEnd()}\n`;
  const release = async () => {
    widths = heads.map((head, index) =>
      Math.max(style.terminal ? head.length : 0, ...held.map((cells) => cells[index]?.length ?? 0)),
    );
    const top = style.terminal && held.length > 0 ? paint(line(heads), style.terminal) : '';
    await send(stdout, top + held.map(line).join(''));
    held.length = 0;
  };
  for await (const row of rows) {
    const cells = (command.cells?.(row) ?? []).map(safe);
    if (widths !== undefined) {
      await send(stdout, line(cells));
      continue;
    }
    held.push(cells);
    if (held.length >= alignedRows) await release();
  }
  if (widths === undefined) await release();
}

function paint(text: string, terminal: Terminal): string {
  return terminal.colour ? `\x1b[1m${text.trimEnd()}\x1b[0m\n` : text;
}

/** Text from anywhere, line by line safe for a terminal. */
function safe(text: string): string {
  return text
    .split('\n')
    .map((line) => line.split('\t').map(escapeControls).join('\t'))
    .join('\n');
}

/**
 * Tells what went wrong, and what to do.
 *
 * @param requestId - named where the fault is cpm's own
 * @returns the exit status
 */
export async function printError(
  { stderr }: Stdio,
  error: unknown,
  { json, requestId }: { json: boolean; requestId: string },
): Promise<number> {
  const known = toUserError(error, requestId);
  const { code, message, hint, status } = known;
  const text = json
    ? JSON.stringify({ error: { code, message, hint: hint ?? null } })
    : errorText(known);
  await send(stderr, `${text}\n`);
  return status;
}

/** `cpm: …` and `hint: …`, ready to show. */
export function errorText({ message, hint }: UserError): string {
  return safe(hint === undefined ? `cpm: ${message}` : `cpm: ${message}\nhint: ${hint}`);
}

/** Anything that was thrown, as something a person can read. */
export function toUserError(error: unknown, requestId: string): UserError {
  if (error instanceof UserError) return error;
  return new UserError('internal', `a fault of cpm or the machine, request ${requestId}`, {
    hint: 'the log of the server has the details under this id',
    cause: error,
  });
}
