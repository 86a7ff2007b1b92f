import { UserError } from '../../model/errors.ts';
import { asksAgain } from '../../model/lead.ts';
import type { Difference } from '../../store/likeness.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { movesDone } from '../ref-moves.ts';
import { deliverMarks } from './courier.ts';
import { sendLog } from './log-follow.ts';
import { publish } from './log-publish.ts';
import { compare } from './rehearse.ts';
import { Remote } from './remote.ts';
import { meet } from './round.ts';
import type { RunOptions } from './run.ts';

/** So many differences are named in a refusal. */
const mostNamed = 5;

/**
 * Hands this server's lead over to a backup, with nothing pending: no more pushes are taken here, all that it lacks is
 * carried there, it is proved to be equal, and told to lead; then this server follows it. Before it is told, any failure
 * leaves this server the main. Once it may have been told, nobody writes here until it has said whether it leads: a
 * repetition asks it.
 *
 * @returns the term of the new lead
 * @throws UserError `conflict` with what differs; `unavailable` where it can't be told who leads
 */
export async function handOver(core: Core, backup: Server, options: RunOptions): Promise<number> {
  const release = core.locks.tryExclusive('hand-over');
  if (release === undefined) throw new UserError('conflict', 'a hand-over is under way already');
  try {
    if ((await core.store.leads.of(backup.id))?.state === 'giving') {
      const term = await settle(core, backup, options);
      if (term !== undefined) return term;
    }
    // What is pushed meanwhile is for afterwards: where somebody always pushes there is always more.
    await carryAll(core, backup, { ...options, mostEach: 1 });
    await core.store.leads.drain(backup, core.store.houseId, options.by);
    try {
      await movesDone(core);
      await carryAll(core, backup, options);
      await give(core, backup, options);
    } catch (error) {
      const term = await settle(core, backup, options);
      if (term === undefined) throw error;
      return term;
    }
    return await settleFor(core, backup, options);
  } finally {
    release();
  }
}

/** Carries what the backup lacks. @throws UserError with why some of it is not there */
async function carryAll(
  core: Core,
  backup: Server,
  options: RunOptions & { readonly mostEach?: number },
): Promise<void> {
  await core.store.syncMarks.tryNow(backup.id);
  await meet(core, backup, options);
  const failures: UserError[] = [];
  const heard = ({ error }: { readonly error?: UserError }) => {
    if (error !== undefined) failures.push(error);
  };
  await deliverMarks(core, backup, { ...options, heard });
  const [failure] = failures;
  if (failure !== undefined) throw failure;
}

/** Proves that the backup has all, then tells it to lead. */
async function give(core: Core, backup: Server, options: RunOptions): Promise<void> {
  const { leads } = core.store;
  const work = async (remote: Remote) => {
    await sendLog(core, remote, options);
    const { differences } = await compare(core, remote, options);
    if (differences.length > 0) throw unlike(backup, differences);
    const { token } = await remote.ask('lead', { take: null });
    const head = await publish(core);
    await sendLog(core, remote, options);
    await leads.give(backup.id);
    await remote.ask('lead', { take: { token, head } });
  };
  await Remote.use(core, backup, { caller: options, work });
}

/** The refusal of a hand-over to a backup that is not what this server is. */
export function unlike({ name }: Server, differences: readonly Difference[]): UserError {
  const named = differences
    .slice(0, mostNamed)
    .map((each) => `${each.kind} ${each.name} ${each.why}`);
  const more = differences.length > mostNamed ? ', and more' : '';
  return new UserError('conflict', `${name} is not as this server is: ${named.join(', ')}${more}`, {
    hint: `see all of it with: servers promote ${name} --rehearse`,
  });
}

/**
 * Finds out whether the backup leads now, and does what follows of it.
 *
 * @returns its term; undefined where it does not, and this server goes on as the main
 * @throws UserError `unavailable` where it may have been told and does not answer
 */
async function settle(
  core: Core,
  backup: Server,
  options: RunOptions,
): Promise<number | undefined> {
  const { leads } = core.store;
  if ((await leads.of(backup.id))?.state === 'draining') {
    await leads.keep(backup, options.by);
    return undefined;
  }
  return Remote.use(core, backup, {
    caller: options,
    work: async (remote) => {
      const { leads: isLed } = await remote.ask('lead', { take: null });
      if (isLed) return followLeader(core, remote, options);
      await leads.keep(backup, options.by);
      return undefined;
    },
  }).catch((cause) => {
    if (!(cause instanceof UserError)) throw cause;
    throw new UserError(
      'unavailable',
      `${backup.name} was told to lead, and did not say that it does: ${cause.message}`,
      {
        hint: `nobody writes here until that is known: ${asksAgain(backup.name)}`,
        cause,
      },
    );
  });
}

async function settleFor(core: Core, backup: Server, options: RunOptions): Promise<number> {
  const term = await settle(core, backup, options);
  if (term !== undefined) return term;
  throw new UserError('conflict', `${backup.name} does not lead: this server goes on as the main`);
}

/** Follows a server that leads in this one's place, as its backup. */
async function followLeader(core: Core, remote: Remote, { by }: RunOptions): Promise<number> {
  const { store } = core;
  const legacy = await remote.ask('heritage', { origins: [store.houseId] });
  if (legacy === null) {
    throw new UserError('conflict', `${remote.server.name} does not say what it took over`);
  }
  const { term, head: position, signKey, heritage } = legacy;
  const breakGlass = (await store.users.firstAdmin())?.id;
  const start = { identities: true, signKey, position, breakGlass, term, origin: store.houseId };
  await store.leadSwitch.follow(remote.server, { before: undefined, heritage, start }, by);
  core.couriers.expect(remote.server.id);
  return term;
}
