import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Behind, Front } from '../../support/front.ts';
import type { House } from '../../support/house.ts';
import type { Person } from '../../support/person.ts';
import { must } from '../../support/process.ts';

/** A house with this machine's own sshd before it, for all scenarios. */
export interface Place {
  readonly house: House;
  readonly front: Front;
  readonly behind: Behind;
  /** The admin, who comes through sshd. */
  readonly ada: Person;
}

/** One connection for all questions of a person, each of which is a session of its own. */
export const sharing = ({ home }: Person) =>
  ['ControlMaster=auto', `ControlPath=${home}/front`, 'ControlPersist=60'].flatMap((setting) => [
    '-o',
    setting,
  ]);

export async function refsOf(directory: string): Promise<string> {
  const args = ['for-each-ref', 'refs/heads', '--format=%(objectname) %(refname)'];
  return (await must('git', ['-C', directory, ...args])).stdout;
}

/** Where a server keeps a repository. */
export function directoryOf({ dataDir }: House, repo: string): string {
  return join(dataDir, 'repositories', `${repo}.git`);
}

/** The processes of this machine that were started for a house. */
export function processesOf({ dataDir }: House): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dataDir);
    } catch {
      return false;
    }
  });
}

/** Waits until nobody but the server is left. */
export async function isQuiet(house: House): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  const others = () => processesOf(house).filter((pid) => Number(pid) !== house.pid);
  while (others().length > 0) {
    signal.throwIfAborted();
    await wait(50);
  }
}

export async function records(house: House, action: string): Promise<Record<string, unknown>[]> {
  const words = ['audit', 'list', '--action', action, '--limit', '1000', '--json'];
  return JSON.parse((await house.operator(words)).stdout);
}

/** The last request of that kind, once it is over. */
export async function lastRecord(house: House, action: string): Promise<Record<string, unknown>> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    const [last = {}] = await records(house, action);
    if (last['outcome'] !== 'open') return last;
    signal.throwIfAborted();
    await wait(50);
  }
}

/**
 * What a client may send where an administrator lets all of it in: each would have a program read, run or write what is
 * `elsewhere`, or the server take somebody's word for where they come from and what they ask.
 *
 * @returns the words for the ssh client
 */
export function tricks(elsewhere: string): readonly string[] {
  const told = {
    CPM_DATA_DIR: elsewhere,
    CPM_CONFIG: '/etc/passwd',
    XDG_CONFIG_HOME: elsewhere,
    XDG_DATA_HOME: elsewhere,
    HOME: elsewhere,
    PATH: elsewhere,
    ENV: elsewhere,
    BASH_ENV: elsewhere,
    NODE_OPTIONS: `--require=${elsewhere}`,
    NODE_PATH: elsewhere,
    NODE_V8_COVERAGE: elsewhere,
    NODE_COMPILE_CACHE: elsewhere,
    GIT_DIR: elsewhere,
    GIT_EXEC_PATH: elsewhere,
    GIT_TRACE: elsewhere,
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'uploadpack.packObjectsHook',
    GIT_CONFIG_VALUE_0: `touch ${elsewhere}; false`,
    SSH_ORIGINAL_COMMAND: 'version',
    SSH_CONNECTION: '192.0.2.7 1 192.0.2.1 22',
  };
  // OpenSSH takes one SetEnv only.
  const together = Object.entries(told).map(([name, value]) => `"${name}=${value}"`);
  return ['-o', `SetEnv=${together.join(' ')}`];
}
