import type { ArgSchema, Command } from '../commands/command.ts';
import { usageLine } from '../commands/usage.ts';
import { UserError } from '../model/errors.ts';
import { quoted } from '../model/repo.ts';
import {
  flagName,
  type Globals,
  globalFlags,
  globalsOf,
  optionsOf,
  readFlags,
  refuseLocalFlags,
  single,
} from './flags.ts';
import { checkFormat } from './formats.ts';
import { respell } from './spellings.ts';

export interface Parsed {
  readonly globals: Globals;
  /** undefined for no words at all. */
  readonly command: Command | undefined;
  readonly args: Readonly<Record<string, unknown>>;
  /** The cpm spelling of a habit verb. */
  readonly habit: string | undefined;
}

/** What a parser needs to know: the tree, and the words of what is yet to come. */
export interface Tree {
  readonly commands: readonly Command[];
  readonly later: readonly string[];
}

/**
 * Reads words as a command and its arguments; looks nothing up.
 *
 * @param remote - whether they came from another machine: then no word may name a file
 * @throws UserError `usage`
 */
export function parse(words: readonly string[], tree: Tree, remote: boolean): Parsed {
  const flags = optionsOf(tree.commands);
  if (remote) refuseLocalFlags(words);
  const { habit, words: spelled } = respellCommand(words, flags);
  const { given, positional } = readFlags(spelled, flags);
  const globals = globalsOf(given);
  const found = findCommand(positional, tree);
  if (found === undefined) {
    if (positional.length > 0) throw unknown(positional, tree);
    return { globals, command: undefined, args: {}, habit };
  }
  const { command, rest } = found;
  if (globals.help) return { globals, command, args: {}, habit };
  const args = bind(command, { given, rest, remote });
  if (globals.dryRun && !command.changes) {
    throw new UserError('usage', `${command.words} changes nothing: --dry-run makes no sense`);
  }
  return { globals, command, args, habit };
}

/** Puts the words of a habit in their cpm spelling, wherever flags stand between them. */
function respellCommand(
  words: readonly string[],
  flags: Readonly<Record<string, ArgSchema>>,
): { words: readonly string[]; habit: string | undefined } {
  const start = words.findIndex((word, index) => {
    if (word.startsWith('-')) return false;
    const before = words[index - 1] ?? '';
    const name = flagName(before);
    return name === undefined || before.includes('=') || flags[name]?.type === 'boolean';
  });
  if (start < 0) return { words, habit: undefined };
  const spelled = respell(words.slice(start));
  return { words: [...words.slice(0, start), ...spelled.words], habit: spelled.habit };
}

function findCommand(
  words: readonly string[],
  tree: Tree,
): { command: Command; rest: readonly string[] } | undefined {
  for (let length = Math.min(3, words.length); length > 0; length--) {
    const name = words.slice(0, length).join(' ');
    const command = tree.commands.find((each) => each.words === name);
    if (command !== undefined) return { command, rest: words.slice(length) };
  }
  return undefined;
}

function unknown(words: readonly string[], tree: Tree): UserError {
  for (let length = Math.min(3, words.length); length > 0; length--) {
    const name = words.slice(0, length).join(' ');
    if (tree.later.includes(name)) {
      return new UserError('usage', `${name}: not in this version`, { hint: 'see what is: help' });
    }
  }
  const [noun = ''] = words;
  const verbs = tree.commands.filter((each) => each.words.startsWith(`${noun} `));
  if (verbs.length > 0) {
    const what =
      words[1] === undefined
        ? `${noun}: what about it?`
        : `${noun} ${quoted(words[1])}: no such command`;
    return new UserError('usage', what, {
      hint: `there are: ${verbs.map((each) => each.words).join(', ')}`,
    });
  }
  return new UserError('usage', `${quoted(noun)}: no such command`, { hint: 'see all with: help' });
}

function bind(
  command: Command,
  input: { given: Readonly<Record<string, unknown>>; rest: readonly string[]; remote: boolean },
): Readonly<Record<string, unknown>> {
  const args: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(input.given)) {
    if (Object.hasOwn(globalFlags, name)) continue;
    const schema = command.args[name];
    if (schema === undefined || command.positions.includes(name)) {
      throw new UserError('usage', `${command.words} has no flag --${name}`, {
        hint: `see its flags with: help ${command.words}`,
      });
    }
    args[name] = checked(name, schema, value, input.remote);
  }
  const last = command.positions.at(-1);
  const takesMany = last !== undefined && command.args[last]?.type === 'array';
  if (input.rest.length > command.positions.length && !takesMany) {
    const extra = input.rest[command.positions.length] ?? '';
    throw new UserError('usage', `${command.words}: ${quoted(extra)} is one word too many`, {
      hint: `its form is: ${usageLine(command)}`,
    });
  }
  for (const [index, name] of command.positions.entries()) {
    const schema = command.args[name];
    if (schema === undefined) throw new Error(`${command.words} has no argument ${name}`);
    const value = schema.type === 'array' ? input.rest.slice(index) : input.rest[index];
    if (value === undefined || value.length === 0) continue;
    args[name] = checked(name, schema, value, input.remote);
  }
  for (const name of command.required) {
    if (args[name] !== undefined) continue;
    throw new UserError('usage', `${command.words}: ${label(command, name)} is missing`, {
      hint: `its form is: ${usageLine(command)}`,
    });
  }
  return args;
}

function checked(name: string, schema: ArgSchema, value: unknown, remote: boolean): unknown {
  if (schema.type === 'array') {
    const all = (Array.isArray(value) ? value : [value]).map(String);
    for (const each of all) checkFormat(schema.items.format, each);
    return all;
  }
  if (schema.type === 'boolean')
    return value === true || (Array.isArray(value) && value.includes(true));
  const text = single(name, value) ?? '';
  if (schema.type === 'integer') {
    if (/^\d{1,9}$/.test(text) && Number(text) >= schema.minimum) return Number(text);
    throw new UserError(
      'usage',
      `${quoted(text)} is not a whole number of ${schema.minimum} or more`,
    );
  }
  if ('enum' in schema) {
    if (schema.enum.includes(text)) return text;
    throw new UserError('usage', `${quoted(text)} is not a ${name}`, {
      hint: `it is one of: ${schema.enum.join(', ')}`,
    });
  }
  if (remote && (schema.format === 'file' || schema.format === 'path') && text !== '-') {
    throw new UserError('usage', 'over SSH a file can only be "-", standard input', {
      hint: 'send it along, as in: ssh cpm@server … - < FILE',
    });
  }
  checkFormat(schema.format, text);
  return text;
}

function label(command: Command, name: string): string {
  return command.positions.includes(name) ? name.toUpperCase() : `--${name}`;
}
