import { shortOid } from '../model/oid.ts';
import { nullOid, shortRef } from '../model/ref.ts';
import { escapeControls } from '../model/repo.ts';
import type { Conflict } from '../store/conflicts.ts';
import type { Repository } from '../store/repositories.ts';
import type { RunRow } from './carry.ts';
import type { Context } from './command.ts';

/** So many conflicts are told each on its own; the list has the others. */
const mostTold = 5;

/** Tells what runs left for a person to decide, and by which command, where they left something. */
export async function tellUndecided(context: Context, rows: readonly RunRow[]): Promise<void> {
  const { core, note } = context;
  const inConflict = rows.filter(({ result }) => result === 'conflict');
  if (inConflict.length === 0) return;
  const found: { readonly conflict: Conflict; readonly repo: Repository }[] = [];
  for (const conflict of await core.store.conflicts.open()) {
    const repo = await core.store.repositories.byId(conflict.repoId);
    const isIt = (row: RunRow) => row.repo === repo?.fullName && row.server === conflict.server;
    if (repo !== undefined && inConflict.some(isIt)) found.push({ conflict, repo });
  }
  const places = new Set<string>();
  for (const { conflict, repo } of found) places.add(`${repo.fullName} ${shortRef(conflict.ref)}`);
  for (const { conflict, repo } of found.slice(0, mostTold)) {
    const { ref, server, local, remote } = conflict;
    const [ours, theirs] = [
      await valueText(context, repo, local),
      await valueText(context, repo, remote),
    ];
    const name = shortRef(ref);
    const values = `this server has ${ours}, ${server} has ${theirs}`;
    note(`${repo.fullName} ${name}: ${values}; both kept, ${name} stays ${shown(local)} here`);
  }
  const more = found.length - mostTold;
  if (more > 0) note(`${more} more in conflict`);
  const [place] = places;
  const one = places.size === 1 && place !== undefined;
  note(`hint: cpm conflicts ${one ? `show ${place}` : 'list'}`);
}

/** A value, and whose commit of when it is: `a1c2d3e (ana 10:40)`, of another day `a1c2d3e (ana 2026-11-28)`; UTC. */
async function valueText(
  { core, signal }: Context,
  repo: Repository,
  oid: string,
): Promise<string> {
  if (oid === nullOid) return shown(oid);
  const { status, stdout } = await core.git.run(['log', '-1', '--format=%ct %an', oid, '--'], {
    cwd: core.repos.directory(repo),
    signal,
  });
  const [, seconds, author] = /^(\d+) (.*)$/m.exec(String(stdout)) ?? [];
  const when = new Date(Number(seconds) * 1000);
  // git takes dates that lie further off than Node's.
  const isDate = !Number.isNaN(when.getTime());
  if (status !== 0 || author === undefined || !isDate) return shown(oid);
  const at = when.toISOString();
  const isToday = at.slice(0, 10) === new Date().toISOString().slice(0, 10);
  return `${shown(oid)} (${escapeControls(author)} ${isToday ? at.slice(11, 16) : at.slice(0, 10)})`;
}

function shown(oid: string): string {
  return oid === nullOid ? 'deleted' : shortOid(oid);
}
