import { type App, startApp } from './app.ts';
import type { Config } from './config.ts';
import { firstStartLines, listeningLine, reachableHost } from './doors/local/announce.ts';
import { askerOf } from './doors/local/cli.ts';
import { ServiceManager } from './doors/systemd/manager.ts';
import type { Told } from './doors/systemd/told.ts';
import { toUserError } from './shell/print.ts';

/** What surrounds a server. */
interface Surroundings {
  /** By a service manager. */
  readonly told: Told;
  /** Tells whoever started it. */
  say(text: string): void;
}

/**
 * The server in the foreground, from its start to the signal that ends it.
 *
 * @returns the exit status
 */
export async function serve(config: Config, { told, say }: Surroundings): Promise<number> {
  const app = await startApp(config, {
    asker: { confirm: askerOf() },
    sockets: told.sockets,
    warn: (text) => process.stderr.write(`warning: ${text}\n`),
  });
  const manager = new ServiceManager(told, app.core.log);
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  const listening = lines(app);
  const status = listening.join(', ');
  process.on('SIGHUP', () => void reload(app, manager, status));
  say(`${[...listening, ...(await firstLines(app))].join('\n')}\n`);
  manager.ready(status);
  await stopped;
  manager.stopping(app.core.config.values['shutdown.grace']);
  await app.close();
  await manager.done();
  return 0;
}

function lines(app: App): readonly string[] {
  return [...app.addresses.map(listeningLine), ...app.beacons.map((url) => `listening on ${url}`)];
}

/** What the first start tells besides. */
async function firstLines({ firstAdmin, addresses, fingerprints, core }: App) {
  const [first] = addresses;
  if (firstAdmin === undefined || first === undefined) return [];
  const { dataDir } = core.config;
  const host = await reachableHost(first);
  const hostKey = fingerprints.join(', ');
  return firstStartLines(firstAdmin, { host, port: first.port, hostKey, dataDir });
}

async function reload({ core }: App, manager: ServiceManager, status: string): Promise<void> {
  manager.reloading();
  try {
    await core.reconfigure();
    manager.ready(status);
  } catch (error) {
    core.log.error({ err: error }, 'configuration not reloaded');
    const [first] = toUserError(error, 'in the log').message.split('\n');
    manager.ready(`${status}; configuration not reloaded: ${first}`);
  }
}
