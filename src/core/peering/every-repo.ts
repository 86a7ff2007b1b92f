import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { bornHere } from './link-all.ts';

/** All that is shared with a server: what is linked with it, and with a backup all but what is another's mirror here. */
export async function* everyRepo(
  core: Pick<Core, 'store'>,
  server: Server,
): AsyncGenerator<Repository> {
  if (server.role === 'backup') {
    yield* bornHere(core);
    return;
  }
  const { serverLinks, repositories } = core.store;
  for (const { repoId } of await serverLinks.listOf(server.id)) {
    const repo = await repositories.byId(repoId);
    if (repo !== undefined) yield repo;
  }
}
