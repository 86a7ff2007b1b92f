import type { Config } from './config.ts';
import type { Core } from './core/core.ts';
import { stopping } from './core/events.ts';
import { guestsOf } from './doors/forced/guests.ts';
import { listens } from './doors/local/client.ts';
import { openLocalDoor } from './doors/local/server.ts';
import { socketPath } from './doors/local/socket-path.ts';
import { localSessions } from './doors/sessions.ts';
import { checkHouse, withHouse } from './house.ts';
import { createRun } from './shell/run.ts';

/** How long a stand-in waits for the next one who needs it. */
const standInIdleMs = 5000;

/**
 * Serves those whom sshd sends in, and this machine's own commands, for as long as there are any and no server starts.
 *
 * @param ready - called when it accepts, or somebody else does
 * @returns the exit status
 */
export async function standIn(
  config: Config,
  { signal, ready }: { signal: AbortSignal; ready(): void },
): Promise<number> {
  await checkHouse(config);
  const path = socketPath(config.dataDir);
  const served = async () => {
    if (!(await listens(path))) return undefined;
    ready();
    return 0;
  };
  const work = async (core: Core) => {
    const leave = new AbortController();
    const makeRoom = () => {
      leave.abort();
      return true;
    };
    const host = { run: createRun(core), guests: guestsOf(core, () => []), makeRoom };
    const door = await openLocalDoor(path, host, core);
    const unregister = core.sessions.register(localSessions(door));
    ready();
    await door.idle(standInIdleMs, AbortSignal.any([signal, leave.signal]));
    core.events.stop(stopping());
    await door.close({ graceMs: config.values['shutdown.grace'] });
    unregister();
    return 0;
  };
  return withHouse(config, { served, work }, { signal });
}
