import { UserError } from '../model/errors.ts';
import { anything, array, object, string } from './answers.ts';
import { type Command, command } from './command.ts';
import { usageLine } from './usage.ts';

function describe(each: Command) {
  return {
    command: each.words,
    summary: each.summary,
    usage: usageLine(each),
    examples: each.examples,
    args: each.args,
    positions: each.positions,
    required: each.required,
    answer: each.answer,
  };
}

interface Tree {
  readonly commands: readonly Command[];
  readonly later: readonly string[];
}

function matching({ commands, later }: Tree, words: readonly string[]): readonly Command[] {
  const wanted = words.join(' ');
  const found = commands.filter(
    ({ words: w, unlisted }) =>
      w === wanted || (!unlisted && (w.startsWith(`${wanted} `) || wanted === '')),
  );
  if (found.length > 0) return found;
  if (later.some((each) => each === wanted || each.startsWith(`${wanted} `))) {
    throw new UserError('usage', `${wanted}: not in this version`, { hint: 'see what is: help' });
  }
  throw new UserError('usage', `${wanted}: no such command`, { hint: 'see all with: help' });
}

/** @param tree - asked for when it runs: the command is itself a part of it */
export const createHelp = (tree: () => Tree) =>
  command({
    words: 'help',
    summary: 'What there is, and how it is used',
    examples: ['help', 'help user add', 'help --json'],
    args: {
      command: {
        type: 'array',
        items: { type: 'string', format: 'text' },
        description: 'a command, or its first word',
      },
    },
    positions: ['command'],
    answer: array(
      object({
        command: string,
        summary: string,
        usage: string,
        examples: array(string),
        args: anything,
        positions: array(string),
        required: array(string),
        answer: anything,
      }),
    ),
    needs: () => ({ need: 'signed-in' }),
    run: async (_context, { command: words = [] }) => matching(tree(), words).map(describe),
    offline: async ({ command: words = [] }) => matching(tree(), words).map(describe),
    text: (found) => {
      const [only] = found;
      if (found.length === 1 && only !== undefined) return whole(only);
      const width = Math.max(...found.map(({ command: words }) => words.length));
      return [
        'cpm: a git server over SSH. Every command works as "cpm COMMAND" on the machine and as "ssh cpm@server COMMAND".',
        `Over SSH quote it once more where a word has blanks: ssh cpm@server 'repo set app --description "An app"'`,
        '',
        ...found.map(({ command: words, summary }) => `  ${words.padEnd(width)}  ${summary}`),
        '',
        'Every command takes --json, --quiet and --help; what changes something takes --dry-run.',
        'More about one: help COMMAND',
      ].join('\n');
    },
  });

function whole(found: ReturnType<typeof describe>): string {
  const rows = Object.entries(found.args).map(([name, { description }]) => {
    const shown = found.positions.includes(name) ? name.toUpperCase() : `--${name}`;
    return `  ${shown.padEnd(18)} ${description}`;
  });
  return [
    `${found.summary}.`,
    '',
    `  ${found.usage}`,
    ...(rows.length > 0 ? ['', ...rows] : []),
    ...(found.examples.length > 0
      ? ['', 'For example:', ...found.examples.map((each) => `  ${each}`)]
      : []),
  ].join('\n');
}
