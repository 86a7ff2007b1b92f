/** Nouns in the number that the command tree does not have, and those of verbs under `org` and `repo`. */
const nouns: ReadonlyMap<string, string> = new Map([
  ['audits', 'audit'],
  ['backups', 'backup'],
  ['completions', 'completion'],
  ['configs', 'config'],
  ['users', 'user'],
  ['repos', 'repo'],
  ['repository', 'repo'],
  ['repositories', 'repo'],
  ['orgs', 'org'],
  ['organization', 'org'],
  ['organizations', 'org'],
  ['sshkeys', 'sshkey'],
  ['server', 'servers'],
  ['neighbor', 'neighbors'],
  ['conflict', 'conflicts'],
  ['event', 'events'],
  ['services', 'service'],
  ['session', 'sessions'],
]);
const nounsBelow: ReadonlyMap<string, string> = new Map([
  ['members', 'member'],
  ['teams', 'team'],
  ['aliases', 'alias'],
  ['rule', 'rules'],
]);
const withNounsBelow = new Set(['org', 'repo']);

/** Commands that stand under `repo` too. */
const underRepo = new Set(['init', 'list', 'show', 'push', 'pull', 'merge']);

interface Spelling {
  readonly words: readonly string[];
  readonly flags?: Readonly<Record<string, string>>;
}

/** What fingers from other servers type: the words, and the cpm spelling of the whole. */
const habits: readonly {
  readonly words: readonly string[];
  spell(rest: readonly string[]): Spelling;
}[] = [
  { words: ['info'], spell: (rest) => ({ words: ['list', ...rest] }) },
  { words: ['ls'], spell: (rest) => ({ words: ['list', ...rest] }) },
  { words: ['create'], spell: (rest) => ({ words: ['init', ...rest] }) },
  { words: ['repo', 'create'], spell: (rest) => ({ words: ['init', ...rest] }) },
  {
    words: ['repo', 'private'],
    spell: (rest) => ({ words: ['repo', 'set', ...rest], flags: { visibility: 'private' } }),
  },
  { words: ['D', 'trash'], spell: (rest) => ({ words: ['repo', 'delete', ...rest] }) },
  { words: ['D', 'restore'], spell: (rest) => ({ words: ['repo', 'restore', ...rest] }) },
  { words: ['pubkey'], spell: (rest) => ({ words: ['sshkey', ...rest] }) },
  {
    words: ['desc'],
    spell: ([repo, ...text]) =>
      repo === undefined || text.length === 0
        ? { words: ['repo', 'set', ...(repo === undefined ? [] : [repo])] }
        : { words: ['repo', 'set', repo], flags: { description: text.join(' ') } },
  },
];

/** Words as the command tree has them. */
export interface Respelled {
  readonly words: readonly string[];
  /** Flags that a habit stands for. */
  readonly flags: Readonly<Record<string, string>>;
  /** The cpm spelling of a habit. */
  readonly habit: string | undefined;
}

/**
 * Puts nouns in the tree's number, takes away a `repo` before what needs none, and translates habits.
 *
 * @param words - without flags
 */
export function respell(words: readonly string[]): Respelled {
  const plain = inTheTreesNumber(words);
  const habit = habits.find((each) => each.words.every((word, index) => plain[index] === word));
  if (habit !== undefined) {
    const spelled = habit.spell(plain.slice(habit.words.length));
    const { flags = {} } = spelled;
    const shown = Object.entries(flags).map(([name, value]) => `--${name} ${shellWord(value)}`);
    return { words: spelled.words, flags, habit: [...spelled.words, ...shown].join(' ') };
  }
  const short = plain[0] === 'repo' && underRepo.has(plain[1] ?? '') ? plain.slice(1) : plain;
  return { words: short, flags: {}, habit: undefined };
}

function inTheTreesNumber([first, second, ...rest]: readonly string[]): readonly string[] {
  if (first === undefined) return [];
  const noun = nouns.get(first) ?? first;
  if (second === undefined) return [noun];
  // Elsewhere the second word may be a name.
  const below = withNounsBelow.has(noun) ? nounsBelow.get(second) : undefined;
  return [noun, below ?? second, ...rest];
}

function shellWord(word: string): string {
  return /^[\w./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
