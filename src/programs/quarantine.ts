import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { environmentOf, listProcesses } from './processes.ts';
import type { Program } from './run.ts';

/** So long git may take to notice the end of its input and to clean up. */
const patienceMs = 5000;

/**
 * Ends a receive-pack that must not go on and has not got its last bytes. The end of its input makes git give up and
 * remove its own quarantine, at whatever point it is; one that doesn't is killed, and what it leaves removed here.
 * Other pushes' quarantines are not touched.
 *
 * @param directory - the bare repository
 */
export async function endPush(child: Program, directory: string): Promise<void> {
  child.stdin.destroy();
  if (await isGoneWithin(child, patienceMs)) return;
  const quarantines = await quarantinesOf(child.pid, directory);
  child.end();
  await child.exited;
  for (const path of quarantines) {
    await rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

async function isGoneWithin({ exited }: Program, ms: number): Promise<boolean> {
  const late = new AbortController();
  try {
    return await Promise.race([exited.then(() => true), wait(ms, false, { signal: late.signal })]);
  } finally {
    late.abort();
  }
}

/** The quarantines that the children of one receive-pack write to: git tells them by their environment. */
async function quarantinesOf(group: number, directory: string): Promise<string[]> {
  const members = (await listProcesses()).filter((one) => one.group === group);
  const environments = await Promise.all(members.map(({ pid }) => environmentOf(pid)));
  const prefix = 'GIT_QUARANTINE_PATH=';
  const paths = environments
    .flat()
    .filter((entry) => entry.startsWith(prefix))
    .map((entry) => join(directory, 'objects', basename(entry.slice(prefix.length))));
  return [...new Set(paths)].filter(
    (path) =>
      basename(path).startsWith('tmp_objdir-') && dirname(path) === join(directory, 'objects'),
  );
}
