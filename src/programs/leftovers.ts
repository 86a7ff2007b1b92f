import { setTimeout as wait } from 'node:timers/promises';
import { houseVariable } from './git.ts';
import { environmentOf, listProcesses, type Process, readProcess } from './processes.ts';

const termMs = 2000;
const lookMs = 20;
const giveUpMs = 30_000;

/**
 * How long a look at all processes may take, and how many are looked at side by side. The kernel may hold up who reads
 * the environment of a process that is just being started or traced, and each such read keeps one of Node's four
 * threads for files: what is left of them goes on.
 */
const lookAtAllMs = 2000;
const lanes = 2;

/** A process that starts another while it is being ended is found by looking again. */
const rounds = 10;

/**
 * Ends the children that a dead server left behind, stopped ones too, and waits until they are gone. They are told
 * by the mark that every child of this data directory carries. Never hits this process or one that it descends from.
 * Where there is no /proc it does nothing.
 *
 * @param houseId - the data directory's id
 * @returns how many there were
 * @throws Error when one does not even end by SIGKILL, as a process that waits for a broken disk
 */
export async function endLeftovers(houseId: string): Promise<number> {
  let ended = 0;
  for (let round = 0; round < rounds; round++) {
    const left = await marked(`${houseVariable}=${houseId}`);
    if (left.length === 0) return ended;
    await Promise.all(left.map(endProcess));
    ended += left.length;
  }
  return ended;
}

async function marked(mark: string): Promise<Process[]> {
  const all = await listProcesses();
  const spared = ancestors(all);
  const uncertain = all.filter(({ pid, state }) => !spared.has(pid) && isAlive(state));
  const found: Process[] = [];
  const look = new AbortController();
  const enough = wait(lookAtAllMs, undefined, { signal: look.signal }).catch(() => undefined);
  const lane = async () => {
    for (let one = uncertain.pop(); one !== undefined; one = uncertain.pop()) {
      const environment = await Promise.race([environmentOf(one.pid), enough]);
      if (environment === undefined) return;
      if (environment.includes(mark)) found.push(one);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  look.abort();
  return found;
}

function ancestors(all: readonly Process[]): Set<number> {
  const parents = new Map(all.map(({ pid, parent }) => [pid, parent]));
  const spared = new Set<number>();
  for (let pid: number | undefined = process.pid; pid !== undefined; pid = parents.get(pid)) {
    if (spared.has(pid)) break;
    spared.add(pid);
  }
  return spared;
}

async function endProcess(one: Process): Promise<void> {
  await signalIfSame(one, 'SIGTERM');
  // A stopped process gets the signal only once it goes on.
  await signalIfSame(one, 'SIGCONT');
  const begun = Date.now();
  while (await isThere(one)) {
    if (Date.now() - begun > giveUpMs) throw new Error(`process ${one.pid} does not end`);
    if (Date.now() - begun > termMs) await signalIfSame(one, 'SIGKILL');
    await wait(lookMs);
  }
}

async function signalIfSame(one: Process, signal: NodeJS.Signals): Promise<void> {
  if (!(await isThere(one))) return;
  try {
    process.kill(one.pid, signal);
  } catch {
    // It ended in between.
  }
}

/** Whether that very process still runs: a pid that was given to another shows by its start time. */
async function isThere({ pid, startTime }: Process): Promise<boolean> {
  const now = await readProcess(pid);
  return now !== undefined && now.startTime === startTime && isAlive(now.state);
}

/** A zombie has ended: it only waits for its parent to notice, which may never happen. */
function isAlive(state: string): boolean {
  return state !== 'Z' && state !== 'X';
}
