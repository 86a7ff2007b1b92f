import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a test may need there, in bytes. */
const room = 1024 ** 3;

/**
 * A folder that is gone with the test, in memory where the machine has enough of it: for thousands of small changes that
 * are not to show that anything outlasts a failure of power. On a disk a test waits for each.
 */
export function memoryFolder(t: { teardown(close: () => unknown): void }): string {
  const folder = mkdtempSync(join(hasRoom('/dev/shm') ? '/dev/shm' : tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= room;
  } catch {
    return false;
  }
}
