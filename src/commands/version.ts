import { cpmVersion } from '../model/version.ts';
import { object, string } from './answers.ts';
import { command } from './command.ts';

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
