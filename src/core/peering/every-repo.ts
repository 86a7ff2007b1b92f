import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';

const pageRows = 500;

/** All that is shared with a server: what is linked with it, and with a backup all but what is another's mirror here. */
export async function* everyRepo(
  { store }: Pick<Core, 'store'>,
  server: Server,
): AsyncGenerator<Repository> {
  if (server.role !== 'backup') {
    for (const { repoId } of await store.serverLinks.listOf(server.id)) {
      const repo = await store.repositories.byId(repoId);
      if (repo !== undefined) yield repo;
    }
    return;
  }
  for (let after = { namespace: '', name: '' }; ; ) {
    const page = await store.repositories.page({ kind: 'all' }, { after, limit: pageRows });
    for (const repo of page) {
      // What is a mirror itself is its own main's to send.
      if ((await store.serverLinks.mainOf(repo.id)) === undefined) yield repo;
    }
    const last = page.at(-1);
    if (last === undefined) return;
    after = last;
  }
}
