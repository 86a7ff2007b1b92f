const plurals: Readonly<Record<string, string>> = {
  users: 'user',
  repos: 'repo',
  repository: 'repo',
  repositories: 'repo',
  orgs: 'org',
  organization: 'org',
  organizations: 'org',
  sshkeys: 'sshkey',
  server: 'servers',
  neighbor: 'neighbors',
  conflict: 'conflicts',
  event: 'events',
  session: 'sessions',
};

const plural2: Readonly<Record<string, string>> = {
  members: 'member',
  teams: 'team',
  aliases: 'alias',
  rule: 'rules',
};

/** Commands that stand under `repo` too. */
const underRepo = new Set(['init', 'list', 'show', 'push', 'pull', 'merge']);

/** What fingers from other servers type: the words, and the cpm spelling of the whole. */
const habits: readonly {
  readonly words: readonly string[];
  spell(rest: readonly string[]): readonly string[];
}[] = [
  { words: ['info'], spell: (rest) => ['list', ...rest] },
  { words: ['ls'], spell: (rest) => ['list', ...rest] },
  { words: ['create'], spell: (rest) => ['init', ...rest] },
  { words: ['repo', 'create'], spell: (rest) => ['init', ...rest] },
  {
    words: ['repo', 'private'],
    spell: (rest) => ['repo', 'set', ...rest, '--visibility', 'private'],
  },
  { words: ['D', 'trash'], spell: (rest) => ['repo', 'delete', ...rest] },
  { words: ['D', 'restore'], spell: (rest) => ['repo', 'restore', ...rest] },
  { words: ['pubkey'], spell: (rest) => ['sshkey', ...rest] },
  {
    words: ['desc'],
    spell: ([repo = '', ...text]) => ['repo', 'set', repo, `--description=${text.join(' ')}`],
  },
];

/**
 * Words as the command tree has them: nouns in its number, no `repo` before what needs none, habits translated.
 *
 * @param words - without global flags before them
 * @returns the words, and the cpm spelling when it was a habit
 */
export function respell(words: readonly string[]): {
  readonly words: readonly string[];
  readonly habit: string | undefined;
} {
  const [first = '', second = '', ...rest] = words;
  const noun = plurals[first] ?? first;
  const verb = plural2[second] ?? second;
  const plain = words.length === 1 ? [noun] : words.length === 0 ? [] : [noun, verb, ...rest];
  const habit = habits.find(({ words: typed }) =>
    typed.every((word, index) => plain[index] === word),
  );
  if (habit !== undefined) {
    const spelled = habit.spell(plain.slice(habit.words.length));
    return { words: spelled, habit: spelled.join(' ') };
  }
  const short = plain[0] === 'repo' && underRepo.has(plain[1] ?? '') ? plain.slice(1) : plain;
  return { words: short, habit: undefined };
}
