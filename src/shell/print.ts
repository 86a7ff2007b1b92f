import type { Command } from '../commands/command.ts';
import { UserError } from '../model/errors.ts';
import { escapeControls, jsonText } from '../model/repo.ts';
import type { Stdio } from '../model/stdio.ts';
import type { Terminal } from './request.ts';
import { send } from './send.ts';

/** How an answer is to be shown. */
export interface Style {
  readonly json: boolean;
  readonly terminal: Terminal | undefined;
}

/** Rows held back to align a table's columns on a terminal; what comes later keeps their widths. */
const alignedRows = 200;

/** What a command was asked, and what it answered. */
export interface Answered {
  readonly command: Command;
  readonly args: Readonly<Record<string, unknown>>;
  readonly answer: unknown;
}

/** Prints a command's answer: one JSON document, or text for people. Lists stream. */
export async function printAnswer(
  { stdout }: Stdio,
  { command, args, answer }: Answered,
  style: Style,
): Promise<void> {
  if (command.lines === true) {
    for await (const row of answer as AsyncIterable<unknown>) {
      if (!(await send(stdout, `${jsonText(row)}\n`))) return;
    }
    return;
  }
  if (command.columns !== undefined && command.cells !== undefined) {
    const rows = answer as AsyncIterable<unknown>;
    const table = tableOf(command, args);
    await (style.json ? printJsonRows(stdout, rows) : printTable(stdout, rows, table, style));
    return;
  }
  const text = style.json ? jsonText(answer) : command.text(answer);
  if (text !== '') await send(stdout, `${style.json ? text : safe(text)}\n`);
}

async function printJsonRows(stdout: Stdio['stdout'], rows: AsyncIterable<unknown>): Promise<void> {
  let separator = '[';
  for await (const row of rows) {
    if (!(await send(stdout, `${separator}${jsonText(row)}`))) return;
    separator = ',\n';
  }
  await send(stdout, separator === '[' ? '[]\n' : ']\n');
}

interface Table {
  readonly heads: readonly string[];
  cellsOf(row: unknown): readonly string[];
}

function tableOf(command: Command, args: Answered['args']): Table {
  const { columns = [] } = command;
  const hidden = command.hidden?.(args) ?? [];
  const isShown = (_: string, index: number) => !hidden.includes(columns[index] ?? '');
  return {
    heads: columns.filter(isShown),
    cellsOf: (row) => (command.cells?.(row) ?? []).filter(isShown).map(escapeControls),
  };
}

async function printTable(
  stdout: Stdio['stdout'],
  rows: AsyncIterable<unknown>,
  { heads, cellsOf }: Table,
  { terminal }: Style,
): Promise<void> {
  if (terminal === undefined) {
    for await (const row of rows) {
      if (!(await send(stdout, `${cellsOf(row).join('\t')}\n`))) return;
    }
    return;
  }
  const held: (readonly string[])[] = [];
  let widths: readonly number[] | undefined;
  const line = (cells: readonly string[]) =>
    `${cells
      .map((cell, index) => cell.padEnd(widths?.[index] ?? 0))
      .join('  ')
      .trimEnd()}\n`;
  const release = async () => {
    widths = heads.map((head, index) =>
      Math.max(head.length, ...held.map((cells) => cells[index]?.length ?? 0)),
    );
    const top = held.length > 0 ? paint(line(heads), terminal) : '';
    await send(stdout, top + held.map(line).join(''));
    held.length = 0;
  };
  for await (const row of rows) {
    if (widths !== undefined) {
      if (!(await send(stdout, line(cellsOf(row))))) return;
      continue;
    }
    held.push(cellsOf(row));
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
  const text = json ? jsonText({ error: { code, message, hint: hint ?? null } }) : errorText(known);
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
