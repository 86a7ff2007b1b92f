import yargs from 'yargs';
import type { ArgSchema, Command } from '../commands/command.ts';
import { UserError } from '../model/errors.ts';
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

export const globalFlags: Readonly<Record<string, ArgSchema>> = {
  json: { type: 'boolean', description: 'answer as one JSON document' },
  quiet: { type: 'boolean', description: 'only the result and errors' },
  verbose: { type: 'boolean', description: 'say more on stderr' },
  yes: { type: 'boolean', description: 'confirm what can not be taken back' },
  'dry-run': { type: 'boolean', description: 'check and say what would be done, and do nothing' },
  config: { type: 'string', format: 'path', description: 'configuration file' },
  'data-dir': { type: 'string', format: 'path', description: 'data directory' },
  help: { type: 'boolean', description: 'how the command is used' },
  version: { type: 'boolean', description: "cpm's version" },
};

/** Flags that name files of the server's machine: the local door's alone (S8). */
const localFlags = ['config', 'data-dir', 'out', 'identity'];

export function optionsOf(commands: readonly Command[]): Readonly<Record<string, ArgSchema>> {
  const flags: Record<string, ArgSchema> = { ...globalFlags };
  for (const command of commands) {
    for (const [name, schema] of Object.entries(command.args)) {
      if (!command.positions.includes(name)) flags[name] ??= schema;
    }
  }
  return flags;
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

export function readFlags(
  words: readonly string[],
  flags: Readonly<Record<string, ArgSchema>>,
): { given: Readonly<Record<string, unknown>>; positional: readonly string[] } {
  refuseUnknownFlags(words, flags);
  const names = Object.keys(flags);
  const takesValue = names.filter((name) => flags[name]?.type !== 'boolean');
  let fault: string | undefined;
  const argv = yargs([])
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'duplicate-arguments-array': true,
      'flatten-duplicate-arrays': true,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'short-option-groups': false,
    })
    .detectLocale(false)
    .help(false)
    .version(false)
    .exitProcess(false)
    .boolean(names.filter((name) => flags[name]?.type === 'boolean'))
    .string(takesValue)
    .array(names.filter((name) => flags[name]?.type === 'array'))
    .nargs(Object.fromEntries(takesValue.map((name) => [name, 1])))
    .alias('help', 'h')
    .fail((message) => {
      fault = message;
    })
    .parseSync([...words]) as Record<string, unknown>;
  if (fault !== undefined) {
    throw new UserError('usage', `a flag lacks its value: ${fault}`, {
      hint: 'a value that begins with "-" is written --flag=VALUE',
    });
  }
  const given: Record<string, unknown> = {};
  for (const name of names) if (argv[name] !== undefined) given[name] = argv[name];
  return { given, positional: (argv['_'] as unknown[]).map(String) };
}

function refuseUnknownFlags(
  words: readonly string[],
  flags: Readonly<Record<string, ArgSchema>>,
): void {
  for (const word of words) {
    if (word === '--') return;
    if (!word.startsWith('-') || word === '-' || word === '-h') continue;
    const name = flagName(word);
    if (name !== undefined && Object.hasOwn(flags, name)) continue;
    throw new UserError('usage', `${quoted(word)} is no flag of cpm`, {
      hint: 'see the flags with: help COMMAND',
    });
  }
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
  throw new UserError('usage', `--${name} is given twice`);
}
