import { object, string } from './answers.ts';
import { command } from './command.ts';
import { identity, whoami } from './whoami.ts';

/** What `ssh cpm@server` alone answers. */
export const greeting = command({
  words: '',
  summary: 'Who you are, what you reach, and what to do next',
  examples: [],
  args: {},
  answer: object({ user: string, server: string }),
  needs: () => ({ need: 'signed-in' }),
  run: async (context) => identity(context),
  text: (me) =>
    [
      `Welcome to cpm, ${whoami.text(me)}`,
      '',
      '  list            the repositories you reach',
      '  init NAME       a new repository of your own',
      '  help            everything else',
    ].join('\n'),
});
