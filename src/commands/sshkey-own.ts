import { rotateOwnKey, takeOverHostKeys } from '../core/own-keys.ts';
import { meet } from '../core/peering/round.ts';
import { UserError } from '../model/errors.ts';
import { readDurationMs } from '../model/units.ts';
import { array, boolean, object, string, time } from './answers.ts';
import { type Context, command } from './command.ts';

/** How long both keys count unless told. */
const usualOverlap = '7d';

/** `sshkey rotate FINGERPRINT --generate`: of a key of this server's own. */
export const rotateOwn = command({
  words: 'sshkey rotate',
  summary: "Put a new key in the place of one of this server's own",
  examples: ['sshkey rotate SHA256:… --generate --overlap 7d'],
  args: {
    fingerprint: { type: 'string', format: 'fingerprint', description: 'of the key' },
    overlap: { type: 'string', format: 'duration', description: 'how long both count' },
  },
  positions: ['fingerprint'],
  required: ['fingerprint'],
  answer: object({
    changed: boolean,
    kind: string,
    fingerprint: string,
    old_ends_at: time,
    told: array(string),
    untold: array(object({ server: string, why: string })),
  }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  target: (args) => args.fingerprint,
  run: async (context, { fingerprint, overlap }) => {
    const { core, by } = context;
    const overlapMs = readDurationMs(overlap ?? usualOverlap) ?? 0;
    const { kind, until, ...next } = await rotateOwnKey(core, { fingerprint, overlapMs }, by);
    const { told, untold } = await tellAll(context);
    if (!by.dryRun) await takeOverHostKeys(core);
    return {
      changed: true,
      kind,
      fingerprint: next.fingerprint,
      old_ends_at: until,
      told,
      untold,
    };
  },
  text: ({ kind, fingerprint, old_ends_at, told, untold }) =>
    [
      kind === 'host'
        ? `${fingerprint} is announced, and shown from ${old_ends_at} on. People's known_hosts: servers known-hosts`
        : `${fingerprint} is what this server signs in with; the old key ends at ${old_ends_at}.`,
      ...(told.length > 0 ? [`told: ${told.join(', ')}`] : []),
      ...untold.map(({ server, why }) => `not told yet: ${server}: ${why}`),
    ].join('\n'),
});

/** Tells the servers that can be reached now; the others are told when they are met next. */
async function tellAll({ core, by, signal }: Context) {
  const told: string[] = [];
  const untold: { server: string; why: string }[] = [];
  for (const server of by.dryRun ? [] : await core.store.servers.list()) {
    const { name } = server;
    if (server.url === undefined) {
      untold.push({ server: name, why: 'it has no address here, and hears of it when it comes' });
      continue;
    }
    try {
      await meet(core, server, { by, signal });
      told.push(name);
    } catch (error) {
      if (!(error instanceof UserError) || signal.aborted) throw error;
      untold.push({ server: name, why: error.message });
    }
  }
  return { told, untold };
}
