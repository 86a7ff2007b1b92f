import { Parser } from 'yargs/helpers';
import type { ArgSchema, Command } from '../commands/command.ts';
import { globalFlags } from '../commands/global-flags.ts';
import { UserError } from '../model/errors.ts';
import { guessed, nearest } from '../model/nearest.ts';
import { quoted } from '../model/repo.ts';

/** The flags that every command takes. */
export interface Globals {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly help: boolean;
  readonly version: boolean;
  readonly config: string | undefined;
  readonly dataDir: string | undefined;
}

/** Flags that name files of the server's machine: the local door's alone (S8). */
const localFlags = ['config', 'data-dir', 'out', 'identity'];

/** Every flag there is. @param own - the command that is meant, whose flags may be other commands' names for something else */
export function optionsOf(
  commands: readonly Command[],
  own: Command | undefined,
): Readonly<Record<string, ArgSchema>> {
  const flags: Record<string, ArgSchema> = { ...globalFlags };
  for (const command of own === undefined ? commands : [own, ...commands]) {
    for (const [name, schema] of Object.entries(command.args)) {
      if (!command.positions.includes(name)) flags[name] ??= schema;
    }
  }
  return flags;
}

/** Words without flags, as far as can be told before it is known which flags have a value. */
export function bareWords(words: readonly string[]): readonly string[] {
  const valued = ['--config', '--data-dir'];
  return words.filter((word, at) => !word.startsWith('-') && !valued.includes(words[at - 1] ?? ''));
}

export function flagName(word: string): string | undefined {
  return /^--([^=]+)/.exec(word)?.[1];
}

export function refuseLocalFlags(words: readonly string[]): void {
  for (const word of words) {
    const name = flagName(word);
    if (name === undefined || !localFlags.includes(name)) continue;
    throw new UserError(
      'usage',
      `--${name} names a file on the server and does not exist over SSH`,
      {
        hint: 'leave it out; files go through standard input, as in: sshkey add - < id_ed25519.pub',
      },
    );
  }
}

/** Flags that are taken, and those that are yet to come. */
export interface Flags {
  readonly taken: Readonly<Record<string, ArgSchema>>;
  readonly later: readonly string[];
}

/** Words are taken as they are typed: nothing is guessed, joined or made a number. */
const configuration = {
  'boolean-negation': false,
  'camel-case-expansion': false,
  'dot-notation': false,
  'duplicate-arguments-array': true,
  'flatten-duplicate-arrays': true,
  'greedy-arrays': false,
  'parse-numbers': false,
  'parse-positional-numbers': false,
  'short-option-groups': false,
};

/** Parts words into flags and the rest, in their order. @throws UserError `usage` */
export function readFlags(
  words: readonly string[],
  { taken: flags, later }: Flags,
): { given: Readonly<Record<string, unknown>>; positional: readonly string[] } {
  for (const word of flagWords(words)) checkFlag(word, { taken: flags, later });
  // Told of those alone that occur, the parser takes a thirtieth of the time that it takes with all that there are.
  const names = flagWords(words)
    .map(flagName)
    .filter((name) => name !== undefined);
  const takesValue = names.filter((name) => flags[name]?.type !== 'boolean');
  const takesNone = ['help', ...names.filter((name) => flags[name]?.type === 'boolean')];
  const { argv, error } = Parser.detailed([...words], {
    alias: { help: ['h'] },
    boolean: takesNone,
    string: takesValue,
    array: names.filter((name) => flags[name]?.type === 'array'),
    // A "true" or "false" behind one that takes none is a word of its own.
    narg: Object.fromEntries([
      ...takesValue.map((name) => [name, 1]),
      ...takesNone.map((name) => [name, 0]),
    ]),
    configuration,
  });
  if (error !== null) {
    const name = /: ([a-z-]+)/.exec(error.message)?.[1];
    throw new UserError('usage', `${name === undefined ? 'a flag' : `--${name}`} lacks its value`, {
      hint: 'a value that begins with "-" is written --flag=VALUE',
    });
  }
  const given: Record<string, unknown> = {};
  for (const name of Object.keys(flags)) if (argv[name] !== undefined) given[name] = argv[name];
  return { given, positional: argv._.map(String) };
}

/** The words that are flags: those with a dash before `--`. */
function flagWords(words: readonly string[]): readonly string[] {
  const end = words.indexOf('--');
  const before = end < 0 ? words : words.slice(0, end);
  return before.filter((word) => word.startsWith('-') && word !== '-' && word !== '-h');
}

function checkFlag(word: string, { taken, later }: Flags): void {
  const name = flagName(word);
  if (name === undefined || !Object.hasOwn(taken, name)) {
    if (name !== undefined && later.includes(name)) throw notYet(`--${name}`);
    const near = name === undefined ? undefined : nearest(name, Object.keys(taken));
    const help =
      'see the flags with: help COMMAND; a value that begins with "-" is written --flag=VALUE, or behind --';
    throw new UserError('usage', `${quoted(word)} is no flag of cpm`, {
      hint: guessed(near && `--${near}`, help),
    });
  }
  if (taken[name]?.type === 'boolean' && word.includes('=')) {
    throw new UserError('usage', `--${name} takes no value`, {
      hint: `write --${name}, or leave it out`,
    });
  }
}

/** The answer to words that a later version will know. */
export function notYet(what: string): UserError {
  return new UserError('usage', `${what}: not in this version`, { hint: 'see what is: help' });
}

export function globalsOf(given: Readonly<Record<string, unknown>>): Globals {
  return {
    json: given['json'] === true,
    quiet: given['quiet'] === true,
    verbose: given['verbose'] === true,
    yes: given['yes'] === true,
    dryRun: given['dry-run'] === true,
    help: given['help'] === true,
    version: given['version'] === true,
    config: single('config', given['config']),
    dataDir: single('data-dir', given['data-dir']),
  };
}

export function single(name: string, value: unknown): string | undefined {
  if (!Array.isArray(value)) return value as string | undefined;
  // The same flag may be taken several times elsewhere.
  if (value.length === 1) return value[0];
  throw new UserError('usage', `--${name} is given twice`);
}
