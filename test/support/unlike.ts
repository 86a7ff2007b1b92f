import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HouseOptions } from './house.ts';
import { run } from './process.ts';

const clockFile = fileURLToPath(new URL('../fixtures/shifted-clock.mjs', import.meta.url));
const hide = 'mount -t overlay -o "lowerdir=$0:/usr/bin" cpm /usr/bin && exec "$@"';

/**
 * For a server on a machine where programs are missing: a mount namespace in which they are not in /usr/bin.
 *
 * @param folder - an empty one
 * @returns undefined where this account may not have such a namespace
 */
export async function without(
  folder: string,
  programs: readonly string[],
): Promise<Pick<HouseOptions, 'starts'> | undefined> {
  const words = ['--mount', 'sh', '-c', hide, folder];
  for (const program of programs) {
    // A whiteout: what an overlay takes for "no such file".
    const { status } = await run('mknod', [join(folder, program), 'c', '0', '0']);
    if (status !== 0) return undefined;
  }
  const probe = programs.map((program) => `! test -e /usr/bin/${program}`).join(' && ');
  const { status } = await run('unshare', [...words, 'sh', '-c', probe]);
  return status === 0 ? { starts: (server) => ['unshare', ...words, ...server] } : undefined;
}

/** A clock that goes wrong, for the server alone: the programs that it starts have the machine's. */
export class ShiftedClock {
  readonly #file: string;

  /** @param folder - an empty one, for a file of its own */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.#file = join(folder, 'shift');
    this.shift(0);
  }

  get options(): Pick<HouseOptions, 'starts' | 'env'> {
    const flags = [process.execPath, '--import', clockFile];
    return {
      env: { TEST_CLOCK: this.#file },
      starts: (server) => server.flatMap((word) => (word === process.execPath ? flags : [word])),
    };
  }

  /** From now on it is so many milliseconds before the machine's. */
  shift(ms: number): void {
    writeFileSync(this.#file, String(ms));
  }
}
