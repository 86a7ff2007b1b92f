import { candidateOf, compareWords, confirm, exchangeWith } from '../core/neighbors/confirm.ts';
import { boolean, maybe, object, string } from './answers.ts';
import { command } from './command.ts';
import { name } from './neighbors.ts';

const add = command({
  words: 'neighbors add',
  summary: 'Trust a neighbor once both machines show the same six words',
  examples: [
    'neighbors add nb-0123456789ab',
    'neighbors add nb-0123456789ab --words "applewolf silverbell northbird jadefalcon icefish goldship"',
  ],
  args: {
    name,
    words: {
      type: 'string',
      format: 'words',
      description: 'the six words as the other machine shows them',
    },
    as: { type: 'string', format: 'server', description: 'what it is called here from then on' },
  },
  positions: ['name'],
  required: ['name'],
  answer: object({ changed: boolean, name: string, words: string, id: maybe }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by, signal, ask } = context;
    const candidate = await candidateOf(core, args.name);
    context.staySilent();
    const pending = await exchangeWith(core, candidate, signal);
    const { words } = pending;
    const { neighbor } = candidate;
    if (args.words !== undefined) {
      if (!by.dryRun) compareWords(core, pending, args.words);
    } else {
      const question = `The words are:\n\n  ${words}\n\nDoes the other machine show the same?`;
      const same = by.dryRun ? undefined : await ask?.(question);
      if (same === false) core.pairings.end(pending.key);
      if (same !== true) return { changed: false, name: args.name, words, id: null };
      compareWords(core, pending, words);
    }
    const done = await confirm(core, pending, { neighbor, wanted: args.as, by });
    return { changed: true, words, ...done };
  },
  text: ({ changed, name: known, words }) =>
    changed
      ? `${known} is trusted here. What moves is decided by: neighbors share ${known} REPO`
      : [
          words,
          '',
          `Look at the other machine: neighbors add shows its words for this one there. If they are the same, repeat:`,
          `  neighbors add ${known} --words "${words}"`,
        ].join('\n'),
});

export const neighborsTrustCommands = [add];
