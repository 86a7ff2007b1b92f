import type { Session } from '../core/sessions.ts';
import { UserError } from '../model/errors.ts';
import { changedId, maybe, object, string, time } from './answers.ts';
import { command, list } from './command.ts';

const listSessions = list({
  words: 'sessions list',
  summary: 'Who is connected, and what runs',
  examples: ['sessions list', 'sessions list --json'],
  args: {},
  row: object({
    id: string,
    kind: { type: 'string', enum: ['connection', 'request'] },
    connection: maybe,
    principal: string,
    address: maybe,
    door: string,
    action: maybe,
    target: maybe,
    started_at: time,
  }),
  columns: ['ID', 'KIND', 'PRINCIPAL', 'ADDRESS', 'DOOR', 'ACTION', 'TARGET', 'STARTED'],
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core }) => rows(core.sessions.list()),
  cells: (row) => [
    row.id,
    row.kind,
    row.principal,
    row.address ?? '',
    row.door,
    row.action ?? '',
    row.target ?? '',
    row.started_at,
  ],
});

async function* rows(sessions: readonly Session[]) {
  for (const { startedAt, ...session } of sessions) {
    const { id, kind, principal, door } = session;
    const { connection = null, address = null, action = null, target = null } = session;
    const seen = { id, kind, connection, principal, address, door, action, target };
    yield { ...seen, started_at: startedAt };
  }
}

const end = command({
  words: 'sessions end',
  summary: 'End a connection with all that runs in it, or one request',
  examples: ['sessions end 0b6f3c1e-5a52-4b0e-9d2c-6f1f6d3a7c11'],
  args: {
    id: { type: 'string', format: 'text', description: 'of sessions list' },
  },
  positions: ['id'],
  required: ['id'],
  answer: changedId,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.id,
  run: async ({ core, by }, { id }) => {
    const why = new UserError('unavailable', `this session was ended by ${by.principal}`, {
      hint: 'ask them why, or connect again',
    });
    core.sessions.end(id, by.dryRun ? undefined : why);
    return { changed: true, id };
  },
  text: ({ id }) => `Ended ${id}.`,
});

export const sessionsCommands = [listSessions, end];
