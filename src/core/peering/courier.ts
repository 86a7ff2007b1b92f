import { UserError } from '../../model/errors.ts';
import { waysOf } from '../../store/server-links.ts';
import type { Server } from '../../store/servers.ts';
import { logMark, type Mark } from '../../store/sync-marks.ts';
import type { Core } from '../core.ts';
import { isPaused, pauseEnd } from './couriers.ts';
import { endMirror } from './endings.ts';
import { followLog, sendLog } from './log-follow.ts';
import { hold } from './marked.ts';
import { scanOutbox } from './outbox.ts';
import { pullNew, pullRepo } from './pull.ts';
import { pushRepo } from './push.ts';
import { Remote } from './remote.ts';
import { isRecalling, missed } from './round.ts';
import type { RunOptions, RunReport } from './run.ts';

/** What became of one mark. */
export interface Delivery {
  /** Its full name; undefined where it was the log of changes. */
  readonly repo: string | undefined;
  readonly ms: number;
  /** undefined where it failed, or where nothing but a deletion was told. */
  readonly report?: RunReport;
  readonly error?: UserError;
}

/** So many in one request: then its record is closed, and the next one goes on. */
const mostRuns = 5000;

/**
 * Carries all that is marked between this server and another, the oldest first, and what is marked meanwhile: one run at
 * a time for a repository, `sync.concurrency` for the server. A run sends what is there when it looks: a burst of changes
 * is one run. Its mark goes only if nothing changed since the run began.
 *
 * @param heard - is told of each run as it ends
 * @param mostEach - so often at most each repository is carried, however much changes meanwhile
 */
export async function deliverMarks(
  core: Core,
  server: Server,
  {
    heard,
    mostEach = Number.POSITIVE_INFINITY,
    ...options
  }: RunOptions & { heard(done: Delivery): void; mostEach?: number },
): Promise<void> {
  const running = new Map<string, Promise<void>>();
  const runsOf = new Map<string, number>();
  const run = new Delivering(core, server, options);
  let begun = 0;
  for (;;) {
    await scanOutbox(core);
    const free = Math.max(1, core.config.values['sync.concurrency']) - running.size;
    const all = await run.due(new Set(running.keys()));
    const due = all.filter(({ repoId }) => (runsOf.get(repoId) ?? 0) < mostEach);
    for (const mark of begun < mostRuns ? due.slice(0, Math.max(0, free)) : []) {
      begun += 1;
      runsOf.set(mark.repoId, (runsOf.get(mark.repoId) ?? 0) + 1);
      const done = run.deliver(mark).then((delivery) => {
        running.delete(mark.repoId);
        heard(delivery);
      });
      running.set(mark.repoId, done);
    }
    if (running.size === 0) return;
    await nextOf(core, running.values());
    options.signal.throwIfAborted();
  }
}

/** Waits until a run has ended, or something was marked. */
async function nextOf({ couriers }: Core, runs: Iterable<Promise<void>>): Promise<void> {
  let deaf = () => {};
  const news = new Promise<void>((resolve) => {
    deaf = couriers.onNews(resolve);
  });
  await Promise.race([...runs, news]).finally(() => deaf());
}

/** The runs of one request with one server. */
class Delivering {
  readonly #core: Core;
  readonly #server: Server;
  readonly #options: RunOptions;
  /** No run of this request begins any more: the server is gone. */
  #isGone = false;

  constructor(core: Core, server: Server, options: RunOptions) {
    this.#core = core;
    this.#server = server;
    this.#options = options;
  }

  /** The marks whose time has come, the oldest first, without those of repositories that are on their way. */
  async due(running: ReadonlySet<string>): Promise<readonly Mark[]> {
    if (this.#isGone) return [];
    const marks = await this.#core.store.syncMarks.of(this.#server.id);
    // It takes nothing before what it has alone was fetched, and it follows.
    const onlyIn = await isRecalling(this.#core.store, this.#server);
    const due = marks
      .filter(({ direction }) => direction === 'in' || !onlyIn)
      .filter(({ repoId, nextAt }) => !isPaused(nextAt) && !running.has(repoId))
      .sort((one, other) => (one.since < other.since ? -1 : 1));
    // Both directions of one repository come one after the other.
    return due.filter((mark, at) => due.findIndex((each) => each.repoId === mark.repoId) === at);
  }

  /** Never throws but when the request ends. */
  async deliver(mark: Mark): Promise<Delivery> {
    const begun = performance.now();
    const about = () => ({
      repo: mark.repoId === logMark ? undefined : mark.name,
      ms: Math.round(performance.now() - begun),
    });
    try {
      const report = await this.#alone(mark);
      if (report?.result !== 'held') await this.#core.store.syncMarks.done(mark);
      return { ...about(), ...(report && { report }) };
    } catch (error) {
      this.#options.signal.throwIfAborted();
      const known = error instanceof UserError ? error : fault(this.#core, error, mark);
      if (known.code === 'conflict' && known.message.includes('held:')) {
        await hold(this.#core, mark, known.message);
      } else {
        const nextAt = pauseEnd(mark.attempts + 1);
        const why = { error: known.message, held: false, nextAt };
        await this.#core.store.syncMarks.failed(mark, why);
      }
      return { ...about(), error: known };
    }
  }

  /** A person's `servers sync` and the clock's may meet on one repository: one waits for the other. */
  async #alone(mark: Mark): Promise<RunReport | undefined> {
    const leave = await this.#core.couriers.alone(`${this.#server.id} ${mark.repoId}`);
    try {
      return await this.#connected((remote) => this.#carry(remote, mark));
    } finally {
      leave();
    }
  }

  /** What one repository meets is its own; that the connection can't be made, or broke off, is the server's. */
  async #connected<T>(work: (remote: Remote) => Promise<T>): Promise<T> {
    let isWell = false;
    try {
      return await Remote.use(this.#core, this.#server, {
        caller: this.#options,
        work: (remote) =>
          work(remote).catch((error) => {
            isWell = !remote.isOver;
            throw error;
          }),
      });
    } catch (error) {
      const { signal, by } = this.#options;
      if (!isWell && error instanceof UserError && !signal.aborted) {
        this.#isGone = true;
        await missed(this.#core, this.#server, { error, by });
      }
      throw error;
    }
  }

  async #carry(remote: Remote, mark: Mark): Promise<RunReport | undefined> {
    const { store } = this.#core;
    const { server } = remote;
    if (mark.repoId === logMark) {
      await (mark.direction === 'out'
        ? sendLog(this.#core, remote, this.#options)
        : followLog(this.#core, remote, this.#options));
      return undefined;
    }
    const link = await store.serverLinks.of(server.id, mark.repoId);
    // Since it was marked a person may have said that it moves the other way alone.
    if (link !== undefined && !waysOf(link).includes(mark.direction)) return undefined;
    if (mark.direction === 'out') {
      const repo = await store.repositories.byId(mark.repoId);
      if (repo !== undefined) return pushRepo(this.#core, remote, { repo, ...this.#options });
      if (server.role === 'backup') await remote.ask('end', { id: mark.repoId });
      return undefined;
    }
    const { by, allowShrink } = this.#options;
    if (mark.name === '') {
      await endMirror(this.#core, { server, remoteId: mark.repoId, by, allowShrink });
      return undefined;
    }
    const repo = link && (await store.repositories.byId(mark.repoId));
    // From a backup nothing is fetched but what it has alone, for it led before.
    const recalled = server.role === 'backup';
    if (repo !== undefined)
      return pullRepo(this.#core, remote, { repo, recalled, ...this.#options });
    if (link !== undefined || server.role !== 'main') return undefined;
    return pullNew(this.#core, remote, { name: mark.name, isAsked: false, ...this.#options });
  }
}

function fault({ log }: Core, error: unknown, { repoId, serverId }: Mark): UserError {
  log.error({ err: error, repo: repoId, server: serverId }, 'a sync failed');
  return new UserError('internal', 'a fault of cpm; see the log');
}
