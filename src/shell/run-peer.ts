import type { Core } from '../core/core.ts';
import { principalText } from '../model/principal.ts';
import type { PeerPlan } from '../transfer/transfer.ts';
import type { Done } from './outcome.ts';
import type { Request } from './request.ts';

/** Runs a protocol of servers among themselves, for a server that is known here. */
export async function runPeer(core: Core, request: Request, plan: PeerPlan): Promise<Done> {
  const { principal, stdio, signal } = request;
  await core.access.authorize(principal, { need: 'peer' });
  if (principal.kind !== 'server') throw new Error('a server was decided on and is none');
  const by = {
    principal: principalText(principal),
    keyId: principal.keyId,
    request: request.id,
    dryRun: false,
  };
  const { status, detail } = await plan.talk({ core, principal, by, stdio, signal });
  return { status, outcome: status === 0 ? 'ok' : 'failed', acted: true, detail };
}
