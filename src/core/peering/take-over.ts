import { randomUUID } from 'node:crypto';
import { UserError } from '../../model/errors.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import type { Asked } from './asked.ts';
import { knownGaps } from './likeness.ts';
import { publish, signKeyOf } from './log-publish.ts';
import type { Answers, Questions } from './protocol.ts';
import { wishName } from './wish-name.ts';

/**
 * Answers a main that hands its lead over. On being asked alone it says whether this server leads in its place, and gives
 * a token, so that nothing that was said before can make it; with the token it takes the lead, if it has all of the
 * main's log and nothing waits.
 *
 * @throws UserError that the main is told: then this server does not lead by it
 */
export async function answerLead(
  { core, server, by }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<Answers['lead']> {
  const { take } = question as unknown as Questions['lead'];
  const release = await core.locks.exclusive('take-over', 'the lead');
  try {
    const now = (await core.store.servers.byId(server.id)) ?? server;
    const lead = await core.store.leads.of(server.id);
    const leads = now.role === 'backup' && lead?.state === 'taken';
    if (take === null || leads) {
      const token = randomUUID();
      core.couriers.offers.set(server.id, token);
      return { leads, token };
    }
    if (core.couriers.offers.get(server.id) !== take.token) {
      throw new UserError('conflict', 'the lead was asked for anew meanwhile');
    }
    core.couriers.offers.delete(server.id);
    await refuseBehind(core, now, take.head);
    const { origin } = take.head;
    // Higher than all that was followed here, and so than the main's own.
    const term = (await core.store.leads.term()) + 1;
    await core.store.leadSwitch.take(now, { origin, term, recalled: true }, by);
    core.couriers.expect(server.id);
    return { leads: true, token: '' };
  } finally {
    release();
  }
}

/** @throws UserError `conflict` where something of the main's log is not here */
async function refuseBehind(
  core: Core,
  main: Server,
  head: NonNullable<Questions['lead']['take']>['head'],
): Promise<void> {
  const [gap] = await knownGaps(core, main);
  if (gap !== undefined) throw new UserError('conflict', `${gap.name}: ${gap.why}`);
  const at = await core.store.following.of(main.id);
  const same = at?.origin === head.origin && at.epoch === head.epoch && at.hash === head.hash;
  if (same && at.seq === head.seq) return;
  throw new UserError(
    'conflict',
    `entry ${at?.seq} of the log is the last one here, not ${head.seq}`,
  );
}

/** What had not come from a main when this server took over from it, as far as is known here. */
export interface TakenOver {
  readonly term: number;
  /** ISO 8601; null where it was never met. */
  readonly lastMetAt: string | null;
  readonly notReceived: readonly { readonly name: string; readonly since: string | null }[];
}

const mostWishes = 10_000;

/**
 * This server leads in the place of its main, which is away and can't hand over. What it had alone comes back as
 * conflicts once it is met again; it takes no more pushes from then on.
 *
 * @throws UserError `conflict` where it is no main here, or its log was never followed
 */
export async function takeOver(core: Core, main: Server, by: Actor): Promise<TakenOver> {
  const { store } = core;
  const release = await core.locks.exclusive('take-over', 'the lead');
  try {
    const followed = await store.following.of(main.id);
    const origin = followed?.origin ?? main.houseId;
    if (origin === undefined) {
      throw new UserError('conflict', `${main.name}: this server never followed it`, {
        hint: `what it has is here by pulls alone: servers set ${main.name} --role dev`,
      });
    }
    const marks = (await store.syncMarks.of(main.id)).filter(({ direction }) => direction === 'in');
    const wishes = await store.wishes.of(main.id, mostWishes);
    const undone = await Promise.all(wishes.map((wish) => wishName(core, main, wish)));
    const { metAt } = await store.syncPeers.of(main.id);
    const doneAt = await store.syncs.doneAt({ serverId: main.id });
    const met = [metAt, doneAt, followed?.heardAt].filter((each) => each !== undefined);
    const term = (await store.leads.term()) + 1;
    await store.leadSwitch.take(main, { origin, term, recalled: false }, by);
    core.couriers.expect(main.id);
    const notReceived = [
      ...marks.map(({ name, since }) => ({ name, since })),
      ...undone.map((name) => ({ name, since: null })),
    ];
    return { term, lastMetAt: met.sort().at(-1) ?? null, notReceived };
  } finally {
    release();
  }
}

/** Tells a server that is to follow this one what became of what the one before had; null where this one leads for none of those. */
export async function answerHeritage(
  { core, server }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<Answers['heritage']> {
  if (server.role !== 'backup') {
    throw new UserError('denied', `${server.name} is no backup here: this is not for it`);
  }
  const { origins } = question as unknown as Questions['heritage'];
  for (const origin of origins) {
    const lead = await core.store.leads.over(String(origin));
    if (lead?.state !== 'taken') continue;
    const { term, recalled } = lead;
    if (!recalled && lead.serverId === server.id) {
      await core.store.syncPeers.tryNow(server.id);
      core.couriers.expect(server.id);
    }
    const heritage = await core.store.leadSwitch.heritage(lead.serverId);
    const head = await publish(core);
    return { origin: lead.origin, term, recalled, head, signKey: await signKeyOf(core), heritage };
  }
  return null;
}
