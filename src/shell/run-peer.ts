import type { Core } from '../core/core.ts';
import { principalText } from '../model/principal.ts';
import type { PeerPlan } from '../transfer/transfer.ts';
import type { Done } from './outcome.ts';
import type { Request } from './request.ts';

/** Runs a protocol of servers among themselves, for a server that is known here. */
export async function runPeer(core: Core, request: Request, plan: PeerPlan): Promise<Done> {
  const { principal, stdio, signal } = request;
  await core.access.authorize(principal, { need: plan.right });
  const writing = (keyId: string) => {
    return { principal: principalText(principal), keyId, request: request.id, dryRun: false };
  };
  const common = { core, stdio, signal };
  const { status, detail } = await (() => {
    if (plan.right === 'join' && principal.kind === 'invitee') {
      return plan.talk({ ...common, principal, by: writing(principal.keyId) });
    }
    if (plan.right === 'peer' && principal.kind === 'server') {
      return plan.talk({ ...common, principal, by: writing(principal.keyId) });
    }
    throw new Error('who asks was decided on and is somebody else');
  })();
  return { status, outcome: status === 0 ? 'ok' : 'failed', acted: true, detail };
}
