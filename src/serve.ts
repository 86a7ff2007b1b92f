import { existsSync } from 'node:fs';
import { type App, type Starting, startApp } from './app.ts';
import type { Config } from './config.ts';
import type { Conclusion } from './core/audit.ts';
import { readPrivateKey } from './core/house.ts';
import { openAhead } from './doors/ahead.ts';
import { firstStartLines, listeningLine, reachableHost } from './doors/local/announce.ts';
import { askerOf } from './doors/local/cli.ts';
import { meetPredecessor, type Predecessor } from './doors/local/predecessor.ts';
import { socketPath } from './doors/local/socket-path.ts';
import { ServiceManager } from './doors/systemd/manager.ts';
import type { Told } from './doors/systemd/told.ts';
import { toUserError } from './shell/print.ts';
import { type Claim, closeSockets, failed, keepSockets, Succession } from './succession.ts';

/** What surrounds a server. */
interface Surroundings {
  /** By a service manager. */
  readonly told: Told;
  /** Without what a service manager told. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether it takes the place of a server that runs. */
  readonly takeover: boolean;
  /** Tells whoever started it. */
  say(text: string): void;
}

/** How long the last words of a process that was replaced may take. */
const lastWordsMs = 5000;

/**
 * The server in the foreground, from its start to the signal that ends it, or to another process in its place.
 *
 * @returns the exit status
 */
export async function serve(config: Config, surroundings: Surroundings): Promise<number> {
  const { told, say } = surroundings;
  const predecessor = surroundings.takeover ? await meet(config) : undefined;
  const succession = new Succession(environmentOf(surroundings));
  const sockets = [...told.sockets, ...(predecessor?.sockets ?? [])];
  const starting: Starting = {
    asker: { confirm: askerOf() },
    sockets: predecessor ? await openAhead(config.values, sockets) : sockets,
    follows: predecessor !== undefined,
    concluded: predecessor && conclusionOf(predecessor),
    warn: (text) => process.stderr.write(`warning: ${text}\n`),
    takeOver: (heir) => succession.takeOver(heir),
  };
  await predecessor?.gone();
  let claimed = succession.claim();
  let app = await startApp(config, starting);
  await predecessor?.serving();
  const manager = new ServiceManager(told, app.core.log);
  const stopped = new Promise<undefined>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => resolve(undefined));
  });
  process.on('SIGHUP', () => void reload(app, manager));
  say(`${[...lines(app), ...(await firstLines(app))].join('\n')}\n`);
  manager.ready(lines(app).join(', '));
  for (;;) {
    app.core.handover.offer((restart) => succession.begin(restart));
    const claim = await Promise.race([stopped, claimed]);
    if (claim === undefined) break;
    claimed = succession.claim();
    const next = await handOver(app, { claim, starting, manager });
    if (next === undefined) return 0;
    app = next;
  }
  manager.stopping(app.core.config.values['shutdown.grace']);
  await app.close();
  await manager.done();
  return 0;
}

/** What can be found amiss is found before the other server stops anything. */
async function meet(config: Config): Promise<Predecessor | undefined> {
  if (!existsSync(socketPath(config.dataDir))) return undefined;
  await Promise.all(config.hostKeyPaths.map(readPrivateKey));
  return meetPredecessor(config.dataDir);
}

function conclusionOf({ request }: Predecessor): Conclusion {
  return { request, outcome: 'ok', detail: { pid: process.pid } };
}

/** A service manager that watches this process will watch the next one. */
function environmentOf({ told, environment }: Surroundings) {
  const { notifySocket, watchdogMs } = told;
  return {
    ...environment,
    ...(notifySocket !== undefined && { NOTIFY_SOCKET: notifySocket }),
    ...(watchdogMs !== undefined && { WATCHDOG_USEC: String(watchdogMs * 1000) }),
  };
}

/**
 * Has another process serve: it gets the listening sockets, this one ends what it has running within the grace and leaves
 * the data directory. Whoever comes meanwhile waits at the sockets.
 *
 * @returns undefined when it serves; when it doesn't, this process, which serves again
 */
async function handOver(
  app: App,
  {
    claim: { heir, asked, release },
    starting,
    manager,
  }: { claim: Claim; starting: Starting; manager: ServiceManager },
): Promise<App | undefined> {
  const { config, log, audit } = app.core;
  const request = asked?.restart.request;
  const sockets = keepSockets(app);
  try {
    await heir.give(sockets, request);
  } catch (error) {
    closeSockets(sockets);
    heir.refuse();
    release();
    asked?.reject(toUserError(error, 'in the log'));
    return app;
  }
  log.info({ pid: heir.pid }, 'another process is to serve');
  if (request !== undefined) audit.leave(request);
  const graceMs = asked?.restart.graceMs ?? config.values['shutdown.grace'];
  await app.close({ graceMs, handedOver: true }, request);
  if (await heir.enters()) {
    closeSockets(sockets);
    manager.replacedBy(heir.pid);
    await manager.done();
    await heir.leave();
    release();
    asked?.resolve(heir.pid);
    await app.left(lastWordsMs);
    return undefined;
  }
  release();
  const why = failed((await asked?.successor.ended) ?? { message: 'it went away' });
  log.error({ pid: heir.pid, err: why }, 'this process serves again');
  const detail = { code: why.code, message: why.message };
  const concluded: Conclusion = { request, outcome: 'failed', detail };
  const again = await startApp(config, { ...starting, sockets, follows: true, concluded });
  asked?.reject(why);
  return again;
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

async function reload(app: App, manager: ServiceManager): Promise<void> {
  const { core } = app;
  const status = lines(app).join(', ');
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
