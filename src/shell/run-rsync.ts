import type { Core } from '../core/core.ts';
import { movedMeanwhile } from '../core/namespaces.ts';
import { UserError } from '../model/errors.ts';
import { principalText } from '../model/principal.ts';
import { ClientGone } from '../transfer/client.ts';
import { receiveByRsync, sendByRsync } from '../transfer/rsync-door.ts';
import type { RsyncPlan } from '../transfer/rsync-people.ts';
import { keyWarning } from './key-warning.ts';
import type { Done } from './outcome.ts';
import { pushTurn } from './push-turn.ts';
import type { Request } from './request.ts';
import { allowed, type Found, refsInRecord } from './run-transfer.ts';
import { send } from './send.ts';

/** Runs the server side of somebody's own rsync for whoever may: a reading as a fetch, a writing as a push. */
export async function runRsync(core: Core, request: Request, plan: RsyncPlan): Promise<Done> {
  const found = await allowed(core, request, plan);
  const warning = await keyWarning(core, request.principal);
  if (warning !== undefined) await send(request.stdio.stderr, `${warning}\n`);
  try {
    if (plan.right === 'read') return await read(core, request, { plan, found });
    const turn = await pushTurn(core.pushes, request);
    try {
      const now = turn.waited ? await allowed(core, request, plan) : found;
      return await write(core, request, { plan, found: now });
    } finally {
      turn.leave();
    }
  } catch (error) {
    if (!(error instanceof ClientGone)) throw error;
    return { status: error.status, outcome: 'interrupted' };
  }
}

interface Asked {
  readonly plan: RsyncPlan;
  readonly found: Found;
}

async function read(core: Core, request: Request, { plan, found }: Asked): Promise<Done> {
  const { repo } = found;
  if (repo === undefined) throw new Error('a repository was decided on and is not there');
  const { stdio, signal } = request;
  const release = await core.repos.hold(repo, signal);
  try {
    // What was true before the wait for the lock may not be true any more (S11).
    const now = await allowed(core, request, plan);
    if (now.repo?.id !== repo.id) throw movedMeanwhile(repo.fullName);
    const status = await sendByRsync({ core, request: plan.request, stdio, signal }, now.repo);
    return { status, outcome: status === 0 ? 'ok' : 'failed', targetId: repo.id };
  } finally {
    release();
  }
}

async function write(core: Core, request: Request, { plan, found }: Asked): Promise<Done> {
  const { principal, stdio, signal } = request;
  const keyId = 'keyId' in principal ? principal.keyId : undefined;
  const by = { principal: principalText(principal), keyId, request: request.id, dryRun: false };
  const { repo } = found;
  const to = repo === undefined ? await birthplace(core, request, plan) : { repo };
  const talk = { core, request: plan.request, stdio, signal };
  const { status, done, repoId } = await receiveByRsync(talk, { principal, by, to });
  const refs = done.slice(0, refsInRecord);
  const more = done.length - refs.length;
  return {
    status,
    outcome: status === 0 ? 'ok' : 'failed',
    targetId: repoId ?? repo?.id,
    detail: { refs, ...(more > 0 ? { more_refs: more } : {}) },
    ...(done.length > 0 ? { acted: true } : {}),
  };
}

/** Where a repository that is sent for the first time goes, for whoever may create it. */
async function birthplace(core: Core, { principal }: Request, { path }: RsyncPlan) {
  const { namespace } = await core.access.authorize(principal, { need: 'create', path });
  if (namespace !== undefined) return { namespace, name: path.name };
  throw new UserError('not_found', 'there is no such namespace');
}
