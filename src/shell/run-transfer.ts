import { finished } from 'node:stream/promises';
import type { Core } from '../core/core.ts';
import { PushRequest } from '../core/push-request.ts';
import { statuses, UserError } from '../model/errors.ts';
import { principalText } from '../model/principal.ts';
import type { Repository } from '../store/repositories.ts';
import { ClientGone } from '../transfer/client.ts';
import type { Plan, ReadPlan, Talk, WritePlan } from '../transfer/transfer.ts';
import { keyWarning } from './key-warning.ts';
import { type Done, outcomeOf } from './outcome.ts';
import { errorText, printError, toUserError } from './print.ts';
import { pushTurn } from './push-turn.ts';
import type { Request } from './request.ts';
import { send } from './send.ts';

/** How many refs of one push the record names; the history has them all. */
const refsInRecord = 100;

/** Runs a git transfer for whoever may; pushes in their turn. */
export async function runTransfer(core: Core, request: Request, plan: Plan): Promise<Done> {
  const repo = await allowed(core, request, plan);
  const warning = await keyWarning(core, request.principal);
  if (warning !== undefined) await send(request.stdio.stderr, `${warning}\n`);
  if (plan.right === 'read') return carryOut(core, request, { plan, repo });
  const turn = await pushTurn(core.pushes, request);
  try {
    const now = turn.waited ? await allowed(core, request, plan) : repo;
    return await carryOut(core, request, { plan, repo: now });
  } finally {
    turn.leave();
  }
}

/** The repository held, decided again, then git. */
async function carryOut(
  core: Core,
  request: Request,
  { plan, repo }: { plan: Plan; repo: Repository | undefined },
): Promise<Done> {
  if (repo === undefined) {
    await core.room.onDisk();
    return push(core, request, { plan: plan as WritePlan, repo });
  }
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
    const { repo } = await core.access.authorize(principal, {
      need: 'repo',
      path,
      right,
      through: 'git',
    });
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
  const talk = talkOf(core, request, core.repos.directory(repo));
  const ended = await converse(core, request, () => plan.talk(talk));
  return { outcome: ended.status === 0 ? 'ok' : 'failed', ...ended, targetId: repo.id };
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
  const { store, access, rules, scripts, repos, git, room } = core;
  const parts = { store, access, rules, scripts, repos, git, room, limits };
  const act = new PushRequest(parts, { principal, path: plan.path, by, signal }, repo);
  const directory = repo === undefined ? core.emptyRepository : core.repos.directory(repo);
  const talk = talkOf(core, request, directory);
  const ended = await converse(core, request, async () => {
    try {
      return await plan.talk(talk, act);
    } finally {
      await act.close();
    }
  });
  act.noteSize(core.sizes);
  const refs = act.done.slice(0, refsInRecord);
  const more = act.done.length - refs.length;
  return {
    outcome: act.refused ? 'denied' : ended.status === 0 ? 'ok' : 'failed',
    ...ended,
    ...(refs.length > 0 ? { outcome: 'ok', acted: true } : {}),
    targetId: act.repoId,
    detail: { ...ended.detail, refs, ...(more > 0 ? { more_refs: more } : {}) },
  };
}

function talkOf(core: Core, request: Request, directory: string): Talk {
  const { gitProtocol: protocol, stdio, signal } = request;
  return { git: core.git, directory, protocol, stdio, signal };
}

/** Runs a talk to its end. What it throws is told on stderr: stdout is in the middle of git's protocol by then. */
async function converse(
  core: Core,
  request: Request,
  talk: () => Promise<number>,
): Promise<Pick<Done, 'status' | 'outcome' | 'detail'> & { status: number }> {
  try {
    const status = await talk();
    return status === statuses.denied ? { status, outcome: 'denied' } : { status };
  } catch (error) {
    const known = toUserError(error, request.id);
    const { code, message, status } = known;
    if (code === 'internal') core.log.error({ err: error, request: request.id }, 'transfer failed');
    if (error instanceof ClientGone) return { status, outcome: 'interrupted' };
    await printError(request.stdio, known, { json: false, requestId: request.id });
    return { status, outcome: outcomeOf(known), detail: { code, message } };
  }
}

const lastWordMs = 2000;

/**
 * Answers a git client before the advertisement: one pkt-line that git prints as `remote error`. Some clients are
 * still sending then, and would die of a closed pipe before they read: so what they send is read until they end, or
 * have had their time.
 */
export async function refuseTransfer(
  { stdio, signal }: Request,
  error: UserError,
): Promise<number> {
  const line = `ERR ${errorText(error)}`;
  const length = (Buffer.byteLength(line) + 4).toString(16).padStart(4, '0');
  await send(stdio.stdout, `${length}${line}`);
  stdio.stdin.resume();
  await finished(stdio.stdin, {
    writable: false,
    signal: AbortSignal.any([signal, AbortSignal.timeout(lastWordMs)]),
  }).catch(() => undefined);
  return error.status;
}
