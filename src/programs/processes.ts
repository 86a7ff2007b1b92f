import { readdir, readFile } from 'node:fs/promises';

/** A process as /proc shows it. `startTime` is in clock ticks since boot: with the pid it names one process for ever. */
export interface Process {
  readonly pid: number;
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly startTime: string;
}

/** Every process of this machine that can be seen; empty where there is no /proc. */
export async function listProcesses(): Promise<Process[]> {
  const names = await readdir('/proc').catch(() => []);
  const found = await Promise.all(
    names.filter((name) => /^\d+$/.test(name)).map((name) => readProcess(Number(name))),
  );
  return found.filter((one) => one !== undefined);
}

/** @returns undefined when there is no such process, or no /proc */
export async function readProcess(pid: number): Promise<Process | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  if (stat === undefined) return undefined;
  // The name in brackets may hold anything, brackets and blanks too; the last one closes it. See proc(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent = '', group = ''] = fields;
  return { pid, state, parent: Number(parent), group: Number(group), startTime: fields[19] ?? '' };
}

/**
 * The environment that a process was started with.
 *
 * @returns `NAME=value` entries; empty when the process is gone or another account's
 */
export async function environmentOf(pid: number): Promise<readonly string[]> {
  const bytes = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  return bytes.split('\0');
}
