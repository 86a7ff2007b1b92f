import type { Principal } from '../../model/principal.ts';
import { reaches, type Standing } from '../../model/right.ts';
import type { Digested, LogPlace } from '../../store/digests.ts';
import type { Core } from '../core.ts';
import type { Asked } from './asked.ts';
import { announcedHostKey } from './key-exchange.ts';
import { publish } from './log-publish.ts';
import { type Answers, type ChangedRepo, factsOf } from './protocol.ts';

const pageRows = 1000;
const beginning = 0;

/**
 * What changed here since the asker asked last, of all that it may read: one question, however many repositories. Where
 * its place is not in this log, as after an older copy of the database was put back, it is told of everything.
 */
export async function answerChanges(
  { core, principal, server }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<Answers['changes']> {
  const { store, access } = core;
  // Read before the rows are: what is logged in between is told the next time.
  const now = await store.digests.place();
  const asked = readPlace(question);
  const known = asked !== undefined && (await store.digests.holds(asked));
  const found = await store.digests.after(known ? asked.seq : beginning, pageRows);
  await seen(core, server.id);
  const standing = await access.standing(principal);
  const rows: ChangedRepo[] = [];
  for (const each of found) {
    const row = await shown(
      core,
      { principal, standing, isBackup: server.role === 'backup' },
      each,
    );
    if (row !== undefined) rows.push(row);
  }
  const last = found.at(-1);
  const more = last !== undefined && found.length >= pageRows;
  const place = more ? await store.digests.at(now.epoch, last.seq) : now;
  const log = server.role === 'backup' ? (await publish(core)).seq : null;
  const keys = await announcedHostKey(core);
  const waits = server.role === 'main' && (await store.wishes.any(server.id));
  return { ...place, anew: !known, log, waits, keys, more, rows };
}

/** Whoever asks is there: that it could not be reached is over, or soon found out to be not. */
async function seen({ store, couriers }: Core, serverId: string): Promise<void> {
  if ((await store.syncPeers.of(serverId)).attempts === 0) return;
  await store.syncPeers.tryNow(serverId);
  couriers.expect(serverId);
}

function readPlace(question: Readonly<Record<string, unknown>>): LogPlace | undefined {
  const { epoch, seq, stamp } = question;
  if (typeof epoch !== 'string' || typeof stamp !== 'string') return undefined;
  return Number.isSafeInteger(seq) ? { epoch, seq: seq as number, stamp } : undefined;
}

async function shown(
  { store, access }: Core,
  asker: { principal: Principal; standing: Standing; isBackup: boolean },
  { repoId, digest, seq }: Digested,
): Promise<ChangedRepo | undefined> {
  const repo = await store.repositories.byId(repoId);
  if (repo === undefined) {
    // A row without a repository is a deletion that was recorded: what is merely lost has no row.
    return asker.isBackup ? { id: repoId, seq, digest: '', facts: null } : undefined;
  }
  // What is a mirror here is its own main's to tell of.
  if (asker.isBackup && (await store.serverLinks.mainOf(repoId)) !== undefined) return undefined;
  const { right } = await access.rightOn(asker.principal, asker.standing, repo);
  if (!reaches(right, 'read')) return undefined;
  const sum = digest === '' ? await store.digests.of(repoId) : digest;
  return { id: repoId, seq, digest: sum, facts: factsOf(repo) };
}
