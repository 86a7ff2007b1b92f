import { finished } from 'node:stream/promises';
import type { Core } from '../core/core.ts';
import { mergeAfterPush } from '../core/merge/after-push.ts';
import type { MergeAnswer } from '../core/merge/merge.ts';
import { calledOtherwise, movedMeanwhile, newName } from '../core/namespaces.ts';
import { mirrorLine } from '../core/peering/state.ts';
import { PushRequest } from '../core/push-request.ts';
import { statuses, UserError } from '../model/errors.ts';
import { principalText } from '../model/principal.ts';
import type { RefCommand } from '../model/ref.ts';
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
export const refsInRecord = 100;

/** What a transfer's path means. */
export interface Found {
  /** undefined where a push may create it. */
  readonly repo: Repository | undefined;
  /** The old name that led to it. */
  readonly calledBefore?: string | undefined;
}

/** Runs a git transfer for whoever may; pushes in their turn. */
export async function runTransfer(core: Core, request: Request, plan: Plan): Promise<Done> {
  const found = await allowed(core, request, plan);
  const warning = await keyWarning(core, request.principal);
  if (warning !== undefined) await send(request.stdio.stderr, `${warning}\n`);
  if (plan.right === 'read') return carryOut(core, request, { plan, found });
  const turn = await pushTurn(core.pushes, request);
  try {
    const now = turn.waited ? await allowed(core, request, plan) : found;
    return await carryOut(core, request, { plan, found: now });
  } finally {
    turn.leave();
  }
}

/** The repository held, decided again, then git. */
async function carryOut(
  core: Core,
  request: Request,
  { plan, found }: { plan: Plan; found: Found },
): Promise<Done> {
  const held = await hold(core, request, { plan, found });
  if (held === undefined) {
    await core.room.onDisk();
    return push(core, request, { plan: plan as WritePlan, repo: undefined });
  }
  const { repo, release } = held;
  try {
    // What was true before the wait for the lock may not be true any more (S11).
    const now = await allowed(core, request, plan);
    if (now.repo?.id !== repo.id) throw movedMeanwhile(repo.fullName);
    if (plan.right === 'write') return await push(core, request, { plan, repo });
    if (now.calledBefore !== undefined) {
      const url = core.cloneUrl(repo.fullName);
      const line = `${newName(now.calledBefore, repo.fullName)}: ${url}\n`;
      await send(request.stdio.stderr, line);
    }
    const mirror = await mirrorLine(core, repo);
    if (mirror !== undefined) await send(request.stdio.stderr, `${mirror}\n`);
    return await read(core, request, { plan, repo });
  } finally {
    release();
  }
}

/** Holds a repository; one that was moved during the wait is looked up, and held, again. */
async function hold(
  core: Core,
  request: Request,
  { plan, found: { repo } }: { plan: Plan; found: Found },
): Promise<{ repo: Repository; release: () => void } | undefined> {
  if (repo === undefined) return undefined;
  try {
    return { repo, release: await core.repos.hold(repo, request.signal) };
  } catch (error) {
    const now = await allowed(core, request, plan);
    if (now.repo?.id !== repo.id || now.repo.fullName === repo.fullName) throw error;
    return { repo: now.repo, release: await core.repos.hold(now.repo, request.signal) };
  }
}

/** @returns what the path means, once it is decided that the transfer may be */
export async function allowed(
  core: Core,
  request: Request,
  plan: Pick<Plan, 'path' | 'right'>,
): Promise<Found> {
  const { principal } = request;
  const { path, right } = plan;
  try {
    const found = await core.access.authorize(principal, {
      need: 'repo',
      path,
      right,
      through: 'git',
    });
    const { repo, calledBefore } = found;
    if (repo !== undefined && calledBefore !== undefined && right === 'write') {
      const remedy = `git remote set-url origin ${core.cloneUrl(repo.fullName)}`;
      throw calledOtherwise(calledBefore, repo.fullName, remedy);
    }
    return { repo, calledBefore };
  } catch (error) {
    const missing = error instanceof UserError && error.code === 'not_found';
    if (plan.right === 'read' || !missing) throw error;
    const creatable = await core.access.authorize(principal, { need: 'create', path }).then(
      () => true,
      () => false,
    );
    if (!creatable) throw error;
    return { repo: undefined };
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
  const { store, access, rules, scripts, repos, git, room, locks, mending } = core;
  let merged: Pick<MergeAnswer, 'source' | 'target' | 'result' | 'commit'> | undefined;
  const parts = {
    ...{ store, access, rules, scripts, repos, git, room, locks, mending, limits },
    publicUrl: core.publicUrl(),
    follow: async (at: Repository, pushed: readonly RefCommand[], options: readonly string[]) => {
      const after = await mergeAfterPush(core, {
        repo: at,
        principal,
        by,
        signal,
        pushed,
        options,
      });
      if (after.merged !== undefined) {
        const { source, target, result, commit } = after.merged;
        merged = { source, target, result, commit };
      }
      return after.lines;
    },
  };
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
    detail: {
      ...ended.detail,
      refs,
      ...(more > 0 ? { more_refs: more } : {}),
      ...(merged === undefined ? {} : { merge: merged }),
    },
  };
}

function talkOf(core: Core, request: Request, directory: string): Talk {
  const { gitProtocol: protocol, stdio, signal } = request;
  const { git, refAnswers, newObjects } = core;
  return { git, refAnswers, newObjects, directory, protocol, stdio, signal };
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
  { stdio, signal, door }: Request,
  error: UserError,
): Promise<number> {
  const line = `ERR ${errorText(error)}`;
  const length = (Buffer.byteLength(line) + 4).toString(16).padStart(4, '0');
  await send(stdio.stdout, `${length}${line}`);
  // That door ends its own side first, and then reads on by itself.
  if (door === 'git') return error.status;
  stdio.stdin.resume();
  await finished(stdio.stdin, {
    writable: false,
    signal: AbortSignal.any([signal, AbortSignal.timeout(lastWordMs)]),
  }).catch(() => undefined);
  return error.status;
}
