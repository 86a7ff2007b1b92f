import type { Core } from '../core/core.ts';
import { PushRequest } from '../core/push-request.ts';
import { UserError } from '../model/errors.ts';
import { principalText } from '../model/principal.ts';
import type { Repository } from '../store/repositories.ts';
import type { Plan, ReadPlan, WritePlan } from '../transfer/transfer.ts';
import { errorText } from './print.ts';
import type { Request } from './request.ts';
import type { Done } from './run.ts';
import { send } from './send.ts';

/** How many refs of one push the record names; the history has them all. */
const refsInRecord = 100;

/** Runs a git transfer for whoever may: decided, the repository held, decided again, then git. */
export async function runTransfer(core: Core, request: Request, plan: Plan): Promise<Done> {
  const repo = await allowed(core, request, plan);
  if (repo === undefined) return push(core, request, { plan: plan as WritePlan, repo });
  const release = await core.repos.hold(repo, request.signal);
  try {
    // What was true before the wait for the lock may not be true any more (S11).
    const now = await allowed(core, request, plan);
    if (now?.id !== repo.id) {
      throw new UserError('unavailable', `${repo.fullName}: it was moved meanwhile`, {
        hint: 'try again',
      });
    }
    if (plan.right === 'write') return await push(core, request, { plan, repo });
    return await read(core, request, { plan, repo });
  } finally {
    release();
  }
}

/** The repository, once it is decided that the transfer may be; undefined where a push may create it. */
async function allowed(core: Core, request: Request, plan: Plan): Promise<Repository | undefined> {
  const { principal } = request;
  const { path, right } = plan;
  try {
    const { repo } = await core.access.authorize(principal, { need: 'repo', path, right });
    return repo;
  } catch (error) {
    const missing = error instanceof UserError && error.code === 'not_found';
    if (plan.right === 'read' || !missing) throw error;
    const creatable = await core.access.authorize(principal, { need: 'create', path }).then(
      () => true,
      () => false,
    );
    if (!creatable) throw error;
    return undefined;
  }
}

async function read(
  core: Core,
  request: Request,
  { plan, repo }: { plan: ReadPlan; repo: Repository },
): Promise<Done> {
  const status = await plan.talk({
    git: core.git,
    directory: core.repos.directory(repo),
    protocol: request.gitProtocol,
    stdio: request.stdio,
    signal: request.signal,
  });
  return { status, targetId: repo.id, outcome: status === 0 ? 'ok' : 'failed' };
}

async function push(
  core: Core,
  request: Request,
  { plan, repo }: { plan: WritePlan; repo: Repository | undefined },
): Promise<Done> {
  const { principal, signal } = request;
  const { values } = core.config;
  const keyId = 'keyId' in principal ? principal.keyId : undefined;
  const by = { principal: principalText(principal), keyId, request: request.id, dryRun: false };
  const limits = {
    refsPerPush: values['limits.refs_per_push'],
    packSizeBytes: values['limits.pack_size'],
  };
  const { store, access, repos, git } = core;
  const parts = { store, access, repos, git, limits };
  const act = new PushRequest(parts, { principal, path: plan.path, by, signal }, repo);
  try {
    const directory = repo === undefined ? core.emptyRepository : core.repos.directory(repo);
    const status = await plan.talk(
      { git, directory, protocol: request.gitProtocol, stdio: request.stdio, signal },
      act,
    );
    const refs = act.done.slice(0, refsInRecord);
    const more = act.done.length - refs.length;
    return {
      status,
      targetId: act.repoId,
      outcome: act.refused ? 'denied' : status === 0 ? 'ok' : 'failed',
      detail: { refs, ...(more > 0 ? { more_refs: more } : {}) },
    };
  } finally {
    await act.close();
  }
}

/** Answers a git client before the advertisement: one pkt-line that git prints as `remote error`. */
export async function refuseTransfer(request: Request, error: UserError): Promise<number> {
  const line = `ERR ${errorText(error)}`;
  const length = (Buffer.byteLength(line) + 4).toString(16).padStart(4, '0');
  await send(request.stdio.stdout, `${length}${line}`);
  return error.status;
}
