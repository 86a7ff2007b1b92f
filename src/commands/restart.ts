import { readDurationMs } from '../model/units.ts';
import { boolean, object } from './answers.ts';
import { command } from './command.ts';

export const restart = command({
  words: 'restart',
  summary: 'Have a new process of the program on disk serve in place of the one that does',
  examples: ['restart', 'restart --grace 5m'],
  args: {
    grace: {
      type: 'string',
      format: 'duration',
      description: 'how long what runs may go on; shutdown.grace unless told',
    },
  },
  answer: object({ changed: boolean, pid: { type: ['integer', 'null'] } }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  run: async ({ core, by, staySilent }, { grace }) => {
    const begin = core.handover.find();
    if (by.dryRun) return { changed: true, pid: null };
    staySilent();
    const graceMs = grace === undefined ? undefined : readDurationMs(grace);
    const pid = await begin({ graceMs, request: by.request });
    return { changed: true, pid };
  },
  text: ({ pid }) => (pid === null ? 'A server runs here.' : `Process ${pid} serves now.`),
});
