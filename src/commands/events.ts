import { UserError } from '../model/errors.ts';
import { integer, object, string, time } from './answers.ts';
import { lines } from './command.ts';

/** What happened to the repositories that one may read; to site admins, everything that changed. */
export const events = lines({
  words: 'events',
  summary: 'What happened to what you may read, oldest first, one JSON object a line',
  examples: ['events', 'events --since 1200', 'events --follow', 'events --follow --since 1200'],
  args: {
    follow: {
      type: 'boolean',
      description: 'go on with what happens from now on, or since SEQ; ends with Ctrl-C',
    },
    since: { type: 'integer', minimum: 0, description: 'the seq of the last one that you have' },
  },
  row: object(
    { seq: integer, at: time, type: string, principal: string },
    { repo: string, ref: string, old: string, new: string, server: string },
  ),
  needs: () => ({ need: 'account' }),
  run: async ({ core, principal, signal, staySilent }, { follow = false, since }) => {
    if (follow && !core.sessions.serving) {
      throw new UserError('unavailable', 'no server runs here: nothing will happen', {
        hint: 'start it with: cpm serve; what happened so far is shown without --follow',
      });
    }
    if (follow) staySilent();
    const from = since ?? (follow ? await core.events.newest() : 0);
    return core.events.since(from, { principal, signal, follow });
  },
});
