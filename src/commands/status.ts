import { measureSpace } from '../core/space.ts';
import { headName } from '../model/audit-head.ts';
import { counted, sizeText } from '../model/units.ts';
import { cpmVersion } from '../model/version.ts';
import {
  array,
  boolean,
  integer,
  maybe,
  maybeInteger,
  maybeTime,
  object,
  string,
} from './answers.ts';
import { command } from './command.ts';

/** How the server is, at a glance. */
export const status = command({
  words: 'status',
  summary: 'What runs, how much there is, and how much room is left',
  examples: ['status', 'status --json'],
  args: {},
  answer: object({
    version: string,
    serving: boolean,
    pid: maybeInteger,
    started_at: maybeTime,
    uptime_s: maybeInteger,
    listeners: array(string),
    connections: integer,
    requests: integer,
    queue: integer,
    syncs: object({ running: integer, pending: integer, held: integer }),
    repositories: integer,
    users: integer,
    database_bytes: integer,
    disk_free_bytes: integer,
    maintenance: object({ running: maybe, last: maybe, last_at: maybeTime }),
    audit_head: string,
    audit_signed: object({ head: { type: ['string', 'null'] }, at: maybeTime }),
  }),
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core }) => {
    const { sessions, store } = core;
    const open = sessions.list();
    const connections = open.filter(({ kind }) => kind === 'connection').length;
    const { serving } = sessions;
    const uptimeS = Math.floor(process.uptime());
    const signed = await store.auditHeads.last();
    const space = await measureSpace(core.config);
    return {
      version: cpmVersion,
      serving,
      pid: serving ? process.pid : null,
      started_at: serving ? new Date(Date.now() - process.uptime() * 1000).toISOString() : null,
      uptime_s: serving ? uptimeS : null,
      listeners: sessions.listeners,
      connections,
      requests: open.length - connections,
      queue: core.repos.waiting + core.pushes.waiting,
      syncs: { running: core.couriers.running, ...(await store.syncMarks.counts()) },
      repositories: await store.repositories.count(),
      users: await store.users.count(),
      database_bytes: space.databaseBytes,
      disk_free_bytes: space.freeBytes,
      maintenance: {
        running: core.housekeeping.state.running ?? null,
        last: core.housekeeping.state.last?.repo ?? null,
        last_at: core.housekeeping.state.last?.at ?? null,
      },
      audit_head: headName(await core.audit.head()),
      audit_signed: {
        head: signed === undefined ? null : headName(signed),
        at: signed?.at ?? null,
      },
    };
  },
  text: (now) =>
    [
      now.serving
        ? `cpm ${now.version}, process ${now.pid}, up ${durationText(now.uptime_s ?? 0)}`
        : `cpm ${now.version}, no server runs`,
      ...now.listeners.map((each) => `  listens on ${each}`),
      `  ${counted(now.connections, 'connection')}, ${counted(now.requests, 'request')}, ${now.queue} of them waiting`,
      `  syncs: ${now.syncs.running} run, ${now.syncs.pending} pending, ${now.syncs.held} held`,
      `  ${now.repositories} repositories, ${now.users} users`,
      `  database ${sizeText(now.database_bytes)}, disk free ${sizeText(now.disk_free_bytes)}`,
      `  maintenance: ${maintenanceText(now.maintenance)}`,
      `  audit head ${now.audit_head}`,
      `  signed at ${now.audit_signed.at ?? 'no time so far'}`,
    ].join('\n'),
});

function durationText(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const clock = new Date(seconds * 1000).toISOString().slice(11, 19);
  return days === 0 ? clock : `${days} d ${clock}`;
}

function maintenanceText(now: {
  running: string | null;
  last: string | null;
  last_at: string | null;
}) {
  if (now.running !== null) return `${now.running} is being packed`;
  return now.last === null ? 'nothing so far' : `${now.last} was packed at ${now.last_at}`;
}
