import type { Repository } from '../../src/store/repositories.ts';
import type { Server } from '../../src/store/servers.ts';
import type { Store } from '../../src/store/store.ts';
import { actor } from './actor.ts';

/** Does once whatever the store can do about who leads. @param main - a server that is followed */
export async function leadOn(store: Store, main: Server, repo: Repository): Promise<void> {
  const { leads, leadSwitch, serverLinks, servers } = store;
  await serverLinks.writerOf(repo.id);
  await store.conflicts.recalled(repo.id);
  const published = [{ subject: `repo:${repo.id}`, body: 'null' }];
  await store.likeness.differences(main.id, published, { identities: true });
  const origin = 'house';
  const term = (await leads.term()) + 1;
  await leadSwitch.take(main, { origin, term, recalled: false }, actor());
  await leads.of(main.id);
  await leads.over(origin);
  await leads.recalled(main, actor());

  const heritage = await leadSwitch.heritage(main.id);
  await leads.drain(main, store.houseId, actor());
  await leads.fence();
  await leads.keep(main, actor());
  await leads.drain(main, store.houseId, actor());
  await leads.forgetDrains();
  await leads.drain(main, store.houseId, actor());
  await leads.give(main.id);
  await leads.keep(main, actor());
  await leads.lose(main, { origin: store.houseId, term: term + 1 }, actor());

  const position = { origin, term: term + 1, epoch: 1 };
  const begun = { identities: true, signKey: 'AAAA', position, breakGlass: undefined };
  const start = { ...begun, term: term + 1, origin };
  await leadSwitch.follow(main, { before: undefined, heritage, start }, actor());
  const otherId = await servers.add({ name: 'd', role: 'backup' }, actor());
  const other = await servers.byId(otherId);
  if (other === undefined) throw new Error('a server was added and is not there');
  await leadSwitch.follow(other, { before: main, heritage, start }, actor());
  await servers.remove(other, actor());
}
