import { object, string } from './answers.ts';
import { command } from './command.ts';

/** cpm's version, as in package.json. */
export const cpmVersion = '0.1.0';

/** What `--version` answers. */
export const version = command({
  words: 'version',
  summary: "cpm's version",
  examples: [],
  args: {},
  answer: object({ version: string }),
  needs: () => ({ need: 'signed-in' }),
  run: async () => ({ version: cpmVersion }),
  offline: async () => ({ version: cpmVersion }),
  text: (answer) => `cpm ${answer.version}`,
});
