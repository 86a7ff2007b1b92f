import { UserError } from '../model/errors.ts';
import { object } from './answers.ts';
import { command } from './command.ts';

/** `cpm serve` is carried out by the program itself; here stands how it is called, and who may. */
export const serve = command({
  words: 'serve',
  summary: 'Run the server, in the foreground',
  examples: ['serve', 'serve --listen 127.0.0.1:2222 --listen [::1]:2222', 'serve --takeover'],
  args: {
    listen: {
      type: 'array',
      items: { type: 'string', format: 'listen' },
      description: 'HOST:PORT, [IPV6]:PORT; port 0 takes a free one',
    },
    takeover: {
      type: 'boolean',
      description: 'in place of the server that runs, whose transfers end first',
    },
  },
  answer: object({}),
  needs: () => ({ need: 'operator' }),
  run: async (): Promise<object> => {
    throw new UserError('usage', 'serve runs on the machine itself, in the foreground');
  },
  text: () => '',
});
