import { commands } from '../commands/index.ts';
import type { OpenRecord } from '../core/audit.ts';
import type { Core } from '../core/core.ts';
import { endOf } from '../core/locks.ts';
import type { Log } from '../log.ts';
import type { UserError } from '../model/errors.ts';
import { principalText } from '../model/principal.ts';
import { escapeControls } from '../model/repo.ts';
import { type Done, outcomeOf } from './outcome.ts';
import { printError, toUserError } from './print.ts';
import type { Request, Run } from './request.ts';
import { gitProgram, type Resolved, resolve } from './resolve.ts';
import { runCommand } from './run-command.ts';
import { runPeer } from './run-peer.ts';
import { runRsync } from './run-rsync.ts';
import { refuseTransfer, runTransfer } from './run-transfer.ts';
import { send } from './send.ts';

/** The only gate: record opened, words resolved, right decided, run, record closed, exit status. */
export function createRun(core: Core): Run {
  return async (arrived) => {
    // Where the store can't be read the record is not opened either, and that is answered.
    const named = await core.access.named(arrived.principal).catch(() => arrived.principal);
    const request = { ...arrived, principal: named };
    const { id, door, principal, address } = request;
    const who = principalText(principal);
    const log = core.log.child({ request: id, door, principal: who, address });
    const startedAt = performance.now();
    const resolved = tryResolve(request);
    let record: OpenRecord | undefined;
    const ended = core.sessions.began({
      id,
      principal,
      address,
      door,
      action: resolved.action,
      target: resolved.target,
      connection: request.connection,
    });
    try {
      record = await core.audit.open(
        {
          request: request.id,
          principal: request.principal,
          address: request.address,
          door: request.door,
          action: resolved.action,
          target: resolved.target,
        },
        resolved.durable,
      );
      const done = await carryOut(core, request, resolved);
      const cutOff = request.signal.aborted && done.acted !== true;
      const outcome = cutOff ? 'interrupted' : (done.outcome ?? 'ok');
      const { durable } = resolved;
      await record.close(outcome, done.detail ?? {}, { durable, targetId: done.targetId });
      logEnd(log, resolved, { outcome, startedAt });
      await sayMore(request, resolved, { outcome, startedAt });
      return done.status;
    } catch (error) {
      const { signal } = request;
      const known = toUserError(error === signal.reason ? endOf(signal) : error, request.id);
      if (known.code === 'internal')
        log.error({ err: error, words: request.words }, 'request failed');
      logEnd(log, resolved, { outcome: known.code, startedAt });
      const status = await fail(request, { resolved, record, error: known });
      await sayMore(request, resolved, { outcome: known.code, startedAt });
      return status;
    } finally {
      ended();
    }
  };
}

/** What `--verbose` tells besides: how the server's log and the record know the request, and how long it took. */
async function sayMore(
  { id, door, principal, stdio }: Request,
  resolved: Attempted,
  { outcome, startedAt }: { outcome: string; startedAt: number },
): Promise<void> {
  if (resolved.kind !== 'command' || !resolved.globals.verbose) return;
  const ms = (performance.now() - startedAt).toFixed(1);
  const who = principalText(principal);
  const line = `request ${id}: ${resolved.action} by ${who} through ${door}: ${outcome}, ${ms} ms\n`;
  await send(stdio.stderr, line);
}

function logEnd(
  log: Log,
  { action, target }: Attempted,
  { outcome, startedAt }: { outcome: string; startedAt: number },
): void {
  const ms = Math.round(performance.now() - startedAt);
  log.info({ action, target, outcome, ms }, 'request');
}

type Attempt =
  | Resolved
  | { readonly kind: 'faulty'; readonly action: string; readonly error: unknown };

type Attempted = Attempt & { readonly target?: string | undefined; readonly durable: boolean };

function tryResolve(request: Request): Attempted {
  try {
    if (request.unreadable !== undefined) throw request.unreadable;
    const resolved = resolve(request, { commands });
    return { ...resolved, durable: changes(resolved) };
  } catch (error) {
    const typed = escapeControls(request.words.slice(0, 2).join(' ')).slice(0, 80);
    const action = gitProgram(request) ?? (request.words[0] === 'rsync' ? 'rsync' : typed);
    return { kind: 'faulty', action, error, durable: false };
  }
}

function changes(resolved: Resolved): boolean {
  if (resolved.kind === 'peer') return true;
  if (resolved.kind === 'transfer' || resolved.kind === 'rsync') {
    return resolved.plan.right === 'write';
  }
  return resolved.command.changes && !resolved.globals.dryRun;
}

async function carryOut(core: Core, request: Request, resolved: Attempted): Promise<Done> {
  if (resolved.kind === 'faulty') throw resolved.error;
  if (resolved.kind === 'transfer') return runTransfer(core, request, resolved.plan);
  if (resolved.kind === 'rsync') return runRsync(core, request, resolved.plan);
  if (resolved.kind === 'peer') return runPeer(core, request, resolved.plan);
  return runCommand(core, request, resolved);
}

async function fail(
  request: Request,
  {
    resolved,
    record,
    error,
  }: { resolved: Attempted; record: OpenRecord | undefined; error: UserError },
): Promise<number> {
  const outcome = request.signal.aborted ? 'interrupted' : outcomeOf(error);
  // A record that can't be closed now stays open in the database, and the next start closes it.
  await record
    ?.close(
      outcome,
      { code: error.code, message: error.message },
      { durable: resolved.durable, targetId: error.aboutId },
    )
    .catch(() => undefined);
  if (gitProgram(request) !== undefined) return refuseTransfer(request, error);
  const json =
    resolved.kind === 'command' ? resolved.globals.json : request.words.includes('--json');
  return printError(request.stdio, error, { json, requestId: request.id });
}
