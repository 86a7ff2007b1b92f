import type { ArgSchema, Command } from '../commands/command.ts';
import { globalFlags } from '../commands/global-flags.ts';
import { usageLine } from '../commands/usage.ts';
import { UserError } from '../model/errors.ts';
import { guessed, nearest } from '../model/nearest.ts';
import { quoted } from '../model/repo.ts';
import {
  bareWords,
  type Globals,
  globalsOf,
  notYet,
  optionsOf,
  readFlags,
  refuseLocalFlags,
  single,
} from './flags.ts';
import { checkFormat } from './formats.ts';
import { respell } from './spellings.ts';

export interface Parsed {
  readonly globals: Globals;
  /** undefined for no words at all, and where help is asked for about several. */
  readonly command: Command | undefined;
  readonly args: Readonly<Record<string, unknown>>;
  /** What help is to be about: the command's words, or what was given in their place. */
  readonly topic: readonly string[];
  /** The cpm spelling of a habit verb. */
  readonly habit: string | undefined;
}

/** What a parser needs to know: the tree, and what is yet to come: words, and flags by the words of their command. */
export interface Tree {
  readonly commands: readonly Command[];
  readonly later: readonly string[];
  readonly laterFlags: Readonly<Record<string, readonly string[]>>;
}

/**
 * Reads words as a command and its arguments; looks nothing up.
 *
 * @param remote - whether they came from another machine: then no word may name a file
 * @throws UserError `usage`
 */
export function parse(words: readonly string[], tree: Tree, remote: boolean): Parsed {
  if (remote) refuseLocalFlags(words);
  const { given, positional } = readWords(words, tree);
  const globals = globalsOf(given);
  const { words: spelled, flags, habit } = respell(positional);
  const found = findCommand(spelled, tree);
  const topic = found?.command.words.split(' ') ?? spelled;
  if (globals.help || globals.version || spelled.length === 0) {
    return { globals, command: found?.command, args: {}, topic, habit };
  }
  if (found === undefined) throw unknown(spelled, tree);
  const { command: named, rest } = found;
  const later = tree.laterFlags[named.words] ?? [];
  const args = bind(named, { given: together(given, flags), rest, remote, later });
  const command = named.instead?.(args) ?? named;
  if (command !== named) command.check?.(args);
  if (globals.dryRun && !command.changes) {
    throw new UserError('usage', `${command.words} changes nothing: --dry-run makes no sense`);
  }
  return { globals, command, args, topic, habit };
}

/** @throws UserError `usage`: flags of a program that is not served say nothing that anybody here knows */
function readWords(words: readonly string[], tree: Tree): ReturnType<typeof readFlags> {
  const bare = respell(bareWords(words)).words;
  const [noun] = bare;
  const taken = optionsOf(tree.commands, findCommand(bare, tree)?.command);
  try {
    return readFlags(words, { taken, later: Object.values(tree.laterFlags).flat() });
  } catch (fault) {
    if (noun === undefined || words[0] !== noun || isNoun(noun, tree)) throw fault;
    throw unknown(bare, tree);
  }
}

/** Flags as given and those that a habit stands for. @throws UserError `usage` for one that is both */
function together(
  given: Readonly<Record<string, unknown>>,
  meant: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  for (const name of Object.keys(meant)) {
    if (given[name] !== undefined) single(name, [given[name], meant[name]]);
  }
  return { ...given, ...meant };
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

/** Whether commands begin with a word, of this version or of a later one. */
function isNoun(word: string, { commands, later }: Tree): boolean {
  return [...commands.map((each) => each.words), ...later].some(
    (words) => words.split(' ')[0] === word,
  );
}

function unknown(words: readonly string[], tree: Tree): UserError {
  for (let length = Math.min(3, words.length); length > 0; length--) {
    const name = words.slice(0, length).join(' ');
    if (tree.later.includes(name)) return notYet(name);
  }
  const [noun = ''] = words;
  const verbs = tree.commands.filter((each) => each.words.startsWith(`${noun} `));
  if (verbs.length > 0) {
    const what =
      words[1] === undefined
        ? `${noun}: what about it?`
        : `${noun} ${quoted(words[1])}: no such command`;
    const all = verbs.map((each) => each.words);
    const typed = words.slice(0, 3).join(' ');
    return new UserError('usage', what, {
      hint: guessed(nearestWords(typed, all), `there are: ${all.join(', ')}`),
    });
  }
  const known = new Set(tree.commands.flatMap((each) => each.words.split(' ')[0] ?? []));
  return new UserError('usage', `${quoted(noun)}: no such command`, {
    hint: guessed(nearest(noun, known), 'see all with: help'),
  });
}

/** The command that begins like what was typed, whatever arguments follow. */
function nearestWords(typed: string, all: readonly string[]): string | undefined {
  const [noun = '', ...rest] = typed.split(' ');
  const ends = all.map((words) => words.slice(noun.length + 1));
  for (let length = rest.length; length > 0; length--) {
    const end = nearest(rest.slice(0, length).join(' '), ends);
    if (end !== undefined) return `${noun} ${end}`;
  }
  return undefined;
}

function bind(
  command: Command,
  input: {
    given: Readonly<Record<string, unknown>>;
    rest: readonly string[];
    remote: boolean;
    later: readonly string[];
  },
): Readonly<Record<string, unknown>> {
  const args: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(input.given)) {
    if (Object.hasOwn(globalFlags, name)) continue;
    const schema = command.args[name];
    if (schema === undefined || command.positions.includes(name)) {
      if (input.later.includes(name)) throw notYet(`${command.words} --${name}`);
      const own = Object.keys(command.args).filter((each) => !command.positions.includes(each));
      const near = nearest(name, own);
      throw new UserError('usage', `${command.words} has no flag --${name}`, {
        hint: guessed(near && `--${near}`, `see its flags with: help ${command.words}`),
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
  command.check?.(args);
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
      hint: guessed(nearest(text, schema.enum), `it is one of: ${schema.enum.join(', ')}`),
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
