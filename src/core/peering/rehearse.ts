import { UserError } from '../../model/errors.ts';
import type { Difference } from '../../store/likeness.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import type { Asked } from './asked.ts';
import { type Compared, comparePage, knownGaps, type ShownFrom, showPage } from './likeness.ts';
import { publish } from './log-publish.ts';
import type { Answers, Questions } from './protocol.ts';
import { Remote } from './remote.ts';
import type { RunOptions } from './run.ts';

type Caller = Pick<RunOptions, 'by' | 'signal' | 'progress'>;

/** What is on its way between two servers that sync by themselves is waited for, so long and so often. */
const waitMs = 1000;
const looks = 10;

/**
 * Proves that a backup is what its main is: refs, history, users, rights. Nothing is changed on either side; which of
 * the two asks is one. What is only on its way by continuous sync is waited for.
 *
 * @throws UserError `denied` for a server that is neither, and whatever keeps it from being asked
 */
export async function rehearse(core: Core, server: Server, caller: Caller): Promise<Compared> {
  if (server.role !== 'backup' && server.role !== 'main') throw neither(server);
  for (let look = 1; ; look += 1) {
    const found = await Remote.use(core, server, {
      caller,
      work: (remote) => compare(core, remote, caller),
    });
    if (found.differences.length === 0 || look === looks) return found;
    if (!(await isOnItsWay(core, server))) return found;
    await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    caller.signal.throwIfAborted();
  }
}

function neither({ name, role }: Server): UserError {
  return new UserError('denied', `${name} is a ${role} here, neither backup nor main`, {
    hint: `if it is to take over one day: servers set ${name} --role backup`,
  });
}

async function isOnItsWay({ store, config }: Core, { id }: Server): Promise<boolean> {
  if (config.values['sync.concurrency'] === 0) return false;
  const marks = await store.syncMarks.of(id);
  return marks.some(({ held, error }) => !held && error === undefined);
}

/** One comparison over an open conversation. */
export async function compare(
  core: Core,
  remote: Remote,
  { progress }: Pick<Caller, 'progress'>,
): Promise<Compared> {
  const { server } = remote;
  const isMain = server.role === 'main';
  const differences: Difference[] = [];
  const total = (await core.store.serverLinks.listOf(server.id)).length;
  let repos = 0;
  let from: ShownFrom = null;
  if (isMain) differences.push(...(await knownGaps(core, server)));
  else await publish(core);
  for (let isFirst = true; isFirst || from !== null; isFirst = false) {
    const shown: Answers['show'] = isMain
      ? await remote.ask('show', { from })
      : await showPage(core, from);
    const found = isMain
      ? await comparePage(core, server, shown)
      : await remote.ask('compare', { shown, isFirst });
    repos += found.repos;
    differences.push(...found.differences);
    progress?.({ what: 'Comparing repositories', done: Math.min(repos, total), total });
    from = shown.next;
  }
  return { repos, differences };
}

/** Shows a backup what this main is, a page at a time. */
export async function answerShow(
  { core, server }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<Answers['show']> {
  if (server.role !== 'backup') {
    throw new UserError('denied', `${server.name} is no backup here: this is not for it`);
  }
  const { from } = question as unknown as Questions['show'];
  if (from === null) await publish(core);
  return showPage(core, from);
}

/** Compares what a main shows with what is here. */
export async function answerCompare(
  { core, server }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<Answers['compare']> {
  if (server.role !== 'main') {
    throw new UserError('denied', `${server.name} is no main here: nothing is compared with it`);
  }
  const { shown, isFirst } = question as unknown as Questions['compare'];
  const gaps = isFirst ? await knownGaps(core, server) : [];
  const { repos, differences } = await comparePage(core, server, shown);
  return { repos, differences: [...gaps, ...differences] };
}
