import { shortOid } from '../model/oid.ts';
import { nullOid, shortRef } from '../model/ref.ts';
import type { RunRow } from './carry.ts';
import type { Context } from './command.ts';

/** So many conflicts are told each on its own; the list has the others. */
const mostTold = 5;

/** Tells what runs left for a person to decide, and by which command, where they left something. */
export async function tellUndecided(context: Context, rows: readonly RunRow[]): Promise<void> {
  const { core, note } = context;
  const inConflict = rows.filter(({ result }) => result === 'conflict');
  if (inConflict.length === 0) return;
  const lines: string[] = [];
  const places = new Set<string>();
  for (const conflict of await core.store.conflicts.open()) {
    const { ref, server, local, remote, repoId } = conflict;
    const repo = (await core.store.repositories.byId(repoId))?.fullName;
    if (!inConflict.some((row) => row.repo === repo && row.server === server)) continue;
    const name = shortRef(ref);
    const values = `here it is ${shown(local)}, on ${server} ${shown(remote)}`;
    lines.push(`${repo} ${name}: ${values}; both kept, ${name} stays ${shown(local)} here`);
    places.add(`${repo} ${name}`);
  }
  for (const line of lines.slice(0, mostTold)) note(line);
  const more = lines.length - mostTold;
  if (more > 0) note(`${more} more in conflict`);
  const [place] = places;
  const one = places.size === 1 && place !== undefined;
  note(`hint: cpm conflicts ${one ? `show ${place}` : 'list'}`);
}

function shown(oid: string): string {
  return oid === nullOid ? 'deleted' : shortOid(oid);
}
