import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** What one run took. */
export interface Sample {
  readonly wallMs: number;
  /** Processor time of the server and of all that it started; the client's is not in it. */
  readonly cpuMs: number;
  /** Most resident memory of the server's own processes at once, git's not counted. */
  readonly peakMb: number;
}

const tickMs = 10;
const sampleMs = 50;
const settleMs = 10_000;
const forgottenMs = 1000;

/** Measures a server while something runs. @param pid - of the server @param name - its processes' name in /proc */
export async function measure(
  pid: number,
  name: string,
  work: () => Promise<void>,
): Promise<Sample> {
  await settled(pid);
  const before = cpuMs(pid);
  let peakMb = 0;
  const look = () => {
    peakMb = Math.max(peakMb, residentMb(pid, name));
  };
  look();
  const timer = setInterval(look, sampleMs);
  const begin = performance.now();
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  const wallMs = performance.now() - begin;
  // A child's time is added to its parent's when the parent has waited for it.
  await settled(pid);
  return { wallMs, cpuMs: cpuMs(pid) - before, peakMb };
}

/** Resident memory of a server's own processes, those called as its first one. */
export function residentMb(pid: number, name: string): number {
  const own = family(pid).filter(
    (member) => member === pid || read(member, 'comm')?.trim() === name,
  );
  const sizes = own.map((member) => /^VmRSS:\s+(\d+)/m.exec(read(member, 'status') ?? '')?.[1]);
  return sizes.reduce((sum, kb) => sum + Number(kb ?? 0) / 1024, 0);
}

/** Processor time of a process and of the children that it has waited for. @see proc(5), /proc/pid/stat */
export function cpuMs(pid: number): number {
  const fields =
    read(pid, 'stat')
      ?.replace(/^.*\) /s, '')
      .split(' ')
      .slice(11, 15) ?? [];
  return fields.reduce((sum, ticks) => sum + Number(ticks) * tickMs, 0);
}

/**
 * Waits until a process has no children any more; those that have ended, and that it does not look after before somebody
 * calls it again, as git's daemon does at times, are not waited for longer than a second.
 */
export async function settled(pid: number): Promise<void> {
  const begun = performance.now();
  for (;;) {
    const left = family(pid).filter((each) => each !== pid);
    const waited = performance.now() - begun;
    if (left.length === 0 || (waited > forgottenMs && left.every(hasEnded))) return;
    if (waited > settleMs) throw new Error(`${pid} still has children: ${left}`);
    await delay(2);
  }
}

function hasEnded(pid: number): boolean {
  return /^\d+ \(.*\) Z/s.test(read(pid, 'stat') ?? '1 () Z');
}

/** A process and its descendants. */
function family(pid: number): number[] {
  let tasks: string[];
  try {
    tasks = readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  const children = tasks.flatMap((task) => (read(pid, `task/${task}/children`) ?? '').split(' '));
  return [
    pid,
    ...children.filter((child) => child !== '').flatMap((child) => family(Number(child))),
  ];
}

/** @returns undefined when the process has gone meanwhile */
function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}

/** Smallest, middle and largest. */
export function spread(values: readonly number[]): { min: number; median: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    min: at(0),
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    max: at(sorted.length - 1),
  };
}
