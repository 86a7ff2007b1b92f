import { keys as settingKeys } from '../settings.ts';
import type { ArgSchema, Command } from './command.ts';
import { globalFlags } from './global-flags.ts';

/** A word that could stand where somebody types. */
export interface Offer {
  readonly word: string;
  /** A few words about it; empty for none. */
  readonly about: string;
}

/** Names that only the store knows. */
export type Names = 'repositories' | 'users' | 'orgs' | 'namespaces' | 'who' | 'keys';

/** What could stand where somebody types. */
export interface Wanted {
  readonly offers: readonly Offer[];
  /** Names, besides. */
  readonly names?: Names | undefined;
  /** What has been typed of the word, or of the value behind `before`. */
  readonly typed: string;
  /** The beginning of the word that is no part of the value: `--sort=`. */
  readonly before: string;
}

/** Stands for the files of the one who types, which no server knows. */
export const filesOffer: Offer = { word: ':files', about: 'files' };

/**
 * What could stand in the place of the last word.
 *
 * @param words - what was typed behind `cpm`; the last one is empty when it was not begun
 */
export function wantedAt(words: readonly string[], commands: readonly Command[]): Wanted {
  const typed = words.at(-1) ?? '';
  const { positional, open } = read(words.slice(0, -1), commands);
  const found = find(positional, commands);
  if (open !== undefined) return value(open, found?.command, { typed, before: '' });
  const [, flag, rest] = /^--([^=]+)=(.*)$/.exec(typed) ?? [];
  if (flag !== undefined && rest !== undefined) {
    const before = `--${flag}=`;
    return value(flag, found?.command, { typed: rest, before });
  }
  if (typed.startsWith('-')) return { offers: flags(found?.command, typed), typed, before: '' };
  if (found?.command.words === 'help') {
    return { offers: next(found.rest, typed, commands), typed, before: '' };
  }
  const offers = next(positional, typed, commands);
  const { command, rest: args } = found ?? { rest: [] };
  const last = command?.positions.at(-1);
  const takesMany = last !== undefined && command?.args[last]?.type === 'array';
  const place = command?.positions[args.length] ?? (takesMany ? last : undefined);
  if (place === undefined) return { offers, typed, before: '' };
  const wanted = value(place, command, { typed, before: '' });
  return { ...wanted, offers: [...offers, ...wanted.offers] };
}

/** Parts what stands before into words and flags. @returns the flag whose value is still to come, too */
function read(
  words: readonly string[],
  commands: readonly Command[],
): { positional: readonly string[]; open: string | undefined } {
  const positional: string[] = [];
  let open: string | undefined;
  for (const word of words) {
    const name = /^--([^=]+)$/.exec(word)?.[1];
    if (open !== undefined) open = undefined;
    else if (name !== undefined && takesValue(name, commands)) open = name;
    else if (!word.startsWith('-')) positional.push(word);
  }
  return { positional, open };
}

function takesValue(flag: string, commands: readonly Command[]): boolean {
  const schema = schemaOf(
    flag,
    commands.find((each) => isFlag(each, flag)),
  );
  return schema !== undefined && schema.type !== 'boolean';
}

function isFlag(command: Command, name: string): boolean {
  return Object.hasOwn(command.args, name) && !command.positions.includes(name);
}

function schemaOf(name: string, command: Command | undefined): ArgSchema | undefined {
  if (command !== undefined && Object.hasOwn(command.args, name)) return command.args[name];
  return Object.hasOwn(globalFlags, name) ? globalFlags[name] : undefined;
}

function find(
  words: readonly string[],
  commands: readonly Command[],
): { command: Command; rest: readonly string[] } | undefined {
  for (let length = Math.min(3, words.length); length > 0; length--) {
    const name = words.slice(0, length).join(' ');
    const command = commands.find((each) => each.words === name);
    if (command !== undefined) return { command, rest: words.slice(length) };
  }
  return undefined;
}

/** The words of commands that may come next. */
function next(before: readonly string[], typed: string, commands: readonly Command[]): Offer[] {
  const start = before.map((word) => `${word} `).join('');
  const offers = new Map<string, string>();
  for (const { words, summary, unlisted } of commands) {
    if (unlisted || !words.startsWith(start + typed)) continue;
    const rest = words.slice(start.length).split(' ');
    const [word = ''] = rest;
    if (rest.length === 1) offers.set(word, summary);
    else if (!offers.has(word)) offers.set(word, '');
  }
  return [...offers].map(([word, about]) => ({ word, about }));
}

function flags(command: Command | undefined, typed: string): Offer[] {
  const own = Object.keys(command?.args ?? {}).filter((name) => command && isFlag(command, name));
  return [...own, ...Object.keys(globalFlags)].flatMap((name) => {
    const word = `--${name}`;
    const about = schemaOf(name, command)?.description ?? '';
    return word.startsWith(typed) ? [{ word, about }] : [];
  });
}

/** What an argument may be. */
function value(
  name: string,
  command: Command | undefined,
  place: Pick<Wanted, 'typed' | 'before'>,
): Wanted {
  const schema = schemaOf(name, command);
  const words = fixed(name, schema, command);
  const offers = words
    .filter((word) => word.startsWith(place.typed))
    .map((word) => ({ word: `${place.before}${word}`, about: '' }));
  const format = formatOf(schema);
  if (format === 'file' || format === 'path') return { ...place, offers: [...offers, filesOffer] };
  return { ...place, offers, names: namesFor(name, format, command) };
}

function fixed(
  name: string,
  schema: ArgSchema | undefined,
  command: Command | undefined,
): readonly string[] {
  if (schema !== undefined && 'enum' in schema) return schema.enum;
  if (name === 'key' && command?.words.startsWith('config ')) return settingKeys;
  return formatOf(schema) === 'file' ? ['-'] : [];
}

function formatOf(schema: ArgSchema | undefined): string | undefined {
  if (schema?.type === 'array') return schema.items.format;
  return schema !== undefined && 'format' in schema ? schema.format : undefined;
}

function namesFor(
  name: string,
  format: string | undefined,
  command: Command | undefined,
): Names | undefined {
  switch (format) {
    case 'repo':
      return 'repositories';
    case 'who':
    case 'whom':
      return 'who';
    case 'fingerprint':
      return 'keys';
    case 'name':
      if (name === 'namespace') return 'namespaces';
      return name === 'org' || (name === 'name' && command?.words.startsWith('org '))
        ? 'orgs'
        : 'users';
    default:
      return undefined;
  }
}
