import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';

const pageRows = 500;

/** Everything that was born here: what is a mirror itself is its own main's to send. */
export async function* bornHere({ store }: Pick<Core, 'store'>): AsyncGenerator<Repository> {
  for (let after = { namespace: '', name: '' }; ; ) {
    const page = await store.repositories.page({ kind: 'all' }, { after, limit: pageRows });
    for (const repo of page) {
      if ((await store.serverLinks.mainOf(repo.id)) === undefined) yield repo;
    }
    const last = page.at(-1);
    if (last === undefined) return;
    after = last;
  }
}

/** Links everything that was born here with a server that is a backup. Doing it again changes nothing. */
export async function linkAll(core: Core, server: Server, by: Actor): Promise<void> {
  for await (const repo of bornHere(core)) await core.store.serverLinks.link(server, repo, {}, by);
}
