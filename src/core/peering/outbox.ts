import { waysOf } from '../../store/server-links.ts';
import type { Server } from '../../store/servers.ts';
import type { Store } from '../../store/store.ts';
import { type LoggedSubject, logMark, type NewMark } from '../../store/sync-marks.ts';
import { type Couriers, outbox } from './couriers.ts';

const pageRows = 1000;

/** Changes that others lack until they are sent. */
const sent = /^(ref-updated|repo-(added|set|renamed|restored))$/;
/** Changes by which a repository ends, which only backups have to know of. */
const ended = /^repo-(deleted|removed)$/;

type Parts = { readonly store: Store; readonly couriers: Couriers };

/**
 * Reads what was logged since the last time and marks what other servers lack by it. A burst of changes of one
 * repository is one mark. The log itself is the outbox: what a crash cuts off is read again.
 */
export async function scanOutbox({ store, couriers }: Parts): Promise<void> {
  const leave = await couriers.alone(outbox);
  try {
    for (;;) {
      const read = await store.syncMarks.scan(pageRows, (changes) =>
        marksOf({ store, couriers }, changes),
      );
      if (read < pageRows) return;
    }
  } finally {
    leave();
  }
}

async function marksOf(
  { store, couriers }: Parts,
  changes: readonly LoggedSubject[],
): Promise<NewMark[]> {
  const wanted = changes.filter(({ type }) => told.has(type) || !own.test(type));
  if (wanted.length === 0) return [];
  const servers = await store.servers.list();
  if (servers.length === 0) return [];
  const marks = new Map<string, NewMark>();
  for (const change of wanted) {
    const found = await marksOfOne({ store, couriers }, servers, change);
    for (const mark of [...found, ...logMarks(servers, change)]) {
      marks.set(`${mark.serverId} ${mark.repoId} ${mark.direction}`, mark);
    }
  }
  return [...marks.values()];
}

/** Changes after which a server may be another than it was. */
const renewed = new Set(['server-added', 'server-set', 'server-trusted', 'server-key-added']);
/** Changes that one server alone is to hear of. */
const told = new Set(['server-linked', 'conflict-ended', ...renewed]);

/** What servers have to do with each other stays between them; all else is in the log that backups follow. */
const own = /^(sync|server|conflict)($|-)/;

function logMarks(servers: readonly Server[], { type, seq }: LoggedSubject): NewMark[] {
  if (own.test(type)) return [];
  const mark = { repoId: logMark, direction: 'out', seq, name: 'the log of changes' } as const;
  return servers
    .filter(({ role }) => role === 'backup')
    .map((server) => ({ ...mark, serverId: server.id }));
}

async function marksOfOne(
  { store, couriers }: Parts,
  servers: readonly Server[],
  change: LoggedSubject,
): Promise<NewMark[]> {
  const { type, repoId, subjectId, seq, detail } = change;
  if (subjectId !== undefined && renewed.has(type)) {
    // What it is to us may be another thing now: at the next meeting, which is soon, all is compared.
    await store.syncPeers.forget(subjectId);
    couriers.expect(subjectId);
    return [];
  }
  if (repoId === undefined) return [];
  const name = (await store.repositories.byId(repoId))?.fullName ?? '';
  const mark = (server: Server, direction: NewMark['direction'] = 'out'): NewMark => ({
    ...{ serverId: server.id, repoId, direction, seq, name },
  });
  if (type === 'server-linked') {
    const server = servers.find(({ id }) => id === subjectId);
    const isNews = detail['made'] === true || detail['one_way'] !== undefined;
    if (server === undefined || !isNews || server.role === 'backup') return [];
    if (server.role === 'main') return [mark(server, 'in')];
    const link = await store.serverLinks.of(server.id, repoId);
    return waysOf(link).map((way) => mark(server, way));
  }
  if (type === 'conflict-ended') {
    const server = servers.find((each) => each.name === detail['server']);
    return server === undefined || detail['kept'] === undefined ? [] : [mark(server)];
  }
  if (!sent.test(type) && !ended.test(type)) return [];
  const others = servers.filter((each) => change.principal !== `server:${each.name}`);
  const receivers = await receiversOf(store, others, repoId);
  const backups = receivers.filter(({ role }) => role === 'backup');
  return (ended.test(type) ? backups : receivers).map((server) => mark(server));
}

/** Who gets what changes in a repository: every backup, unless it is another's to send; and who is linked as an equal. */
async function receiversOf(
  store: Store,
  servers: readonly Server[],
  repoId: string,
): Promise<readonly Server[]> {
  const links = await store.serverLinks.ofRepo(repoId);
  const sent = links.filter((link) => waysOf(link).includes('out'));
  const linked = new Set(sent.map(({ serverId }) => serverId));
  const isMirror = (await store.serverLinks.mainOf(repoId)) !== undefined;
  return servers.filter(({ id, role }) => {
    if (role === 'backup') return !isMirror;
    return (role === 'dev' || role === 'neighbor') && linked.has(id);
  });
}
