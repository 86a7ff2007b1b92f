import type { Server } from '../../store/servers.ts';
import type { Wish } from '../../store/wishes.ts';
import type { Core } from '../core.ts';
import { mirrorOf } from './log-objects.ts';

/** What something that the log of a server says, and that is not done yet, is about, as people call it. */
export async function wishName(
  core: Core,
  server: Server,
  { subject, body }: Wish,
): Promise<string> {
  const [kind = '', id = '', oid = ''] = subject.split(':');
  const told = body === undefined ? undefined : JSON.parse(body);
  switch (kind) {
    case 'user':
    case 'org':
      return told.name;
    case 'repo':
      return told === undefined ? repoName(core, server, id) : `${told.namespace}/${told.name}`;
    case 'purge':
      return `the purge of ${oid.slice(0, 12)} from ${await repoName(core, server, id)}`;
    default:
      return `values that were set aside in ${await repoName(core, server, id)}`;
  }
}

async function repoName(core: Core, server: Server, id: string): Promise<string> {
  return (await mirrorOf(core, server, id))?.fullName ?? `repository ${id}`;
}
