import { lookup } from 'node:dns/promises';
import { connect, isIP } from 'node:net';
import { UserError } from '../../model/errors.ts';
import type { PeerAddress } from '../../model/peer.ts';
import { escapeControls } from '../../model/repo.ts';
import { sizeText } from '../../model/units.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { ownRsync } from './carry.ts';
import type { Caps } from './protocol.ts';
import { Remote } from './remote.ts';
import { addressOf } from './trust.ts';

/** One step of the way to another server, in the order in which they are taken. */
export interface Step {
  readonly step: 'name' | 'tcp' | 'host key' | 'sign-in' | 'versions' | 'rsync' | 'clock' | 'disk';
  readonly ok: boolean;
  readonly ms: number;
  /** What was found, or why it failed. */
  readonly detail: string;
}

const connectMs = 10_000;
/** More than this between two clocks is worth a word. */
const skewMs = 5000;

interface Walker {
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/** Walks to another server step by step and says at which it fails. What is found is noted in the registry. */
export async function probe(
  core: Core,
  server: Server,
  { by, signal }: Walker,
): Promise<readonly Step[]> {
  const steps: Step[] = [];
  const take = async (step: Step['step'], work: () => Promise<string>) => {
    const begun = performance.now();
    const ms = () => Math.round(performance.now() - begun);
    try {
      steps.push({ step, detail: await work(), ok: true, ms: ms() });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      steps.push({ step, detail: reasonOf(error), ok: false, ms: ms() });
      return false;
    }
  };
  let heard: Heard | undefined;
  const found = async () => (await heard?.caps) ?? fail('nothing was heard of it');
  const way: readonly (readonly [Step['step'], () => Promise<string>])[] = [
    ['name', async () => lookUp(addressOf(server))],
    ['tcp', async () => reach(addressOf(server))],
    [
      'host key',
      async () => {
        heard = await hear(core, server, { by, signal });
        return server.hostKey ?? '';
      },
    ],
    ['sign-in', async () => found().then(() => 'this server may ask')],
    ['versions', async () => versionText(await found())],
    ['rsync', async () => rsyncText(core, await found())],
    ['clock', async () => clockText(await found())],
    ['disk', async () => diskText(await found())],
  ];
  for (const [step, work] of way) {
    if (!(await take(step, work))) break;
  }
  const isOurs = steps.some(({ step, ok }) => step === 'versions' && ok);
  await note(core, server, { by, steps, caps: isOurs ? await found() : undefined });
  return steps;
}

interface Heard {
  /** What it says of itself; rejects where it does not let this server in. */
  readonly caps: Promise<Caps>;
}

/**
 * Asks a server what it is. The ssh client itself looks at the host key, before it signs in: what comes of the two is
 * told apart by whether the key was taken.
 *
 * @throws UserError where no key came that is pinned
 */
async function hear(core: Core, server: Server, walker: Walker): Promise<Heard> {
  const remote = await Remote.open(core, server, walker);
  try {
    return { caps: Promise.resolve(await remote.ask('caps', {})) };
  } catch (error) {
    const wasLetTo = remote.received > 0 || (error instanceof UserError && error.code === 'denied');
    const now = await core.store.servers.byId(server.id);
    if (!wasLetTo || now?.state === 'untrusted') throw error;
    const caps = Promise.reject<Caps>(error);
    caps.catch(() => undefined);
    return { caps };
  } finally {
    await remote.close();
  }
}

async function note(
  core: Core,
  server: Server,
  found: { by: Actor; steps: readonly Step[]; caps: Caps | undefined },
): Promise<void> {
  const now = await core.store.servers.byId(server.id);
  // A host key that changed was noted where it was seen.
  if (now === undefined || now.state === 'untrusted') return;
  const failed = found.steps.find(({ ok }) => !ok);
  const latencyMs = found.steps.find(({ step }) => step === 'tcp')?.ms;
  const error = failed && `${failed.step}: ${failed.detail}`;
  const health =
    found.caps === undefined
      ? { state: 'down' as const, error }
      : { state: 'up' as const, latencyMs, houseId: text(found.caps.houseId), error };
  await core.store.servers.note(now, health, { ...found.by, dryRun: false });
}

/** Why a step failed. A name with several addresses fails by each of them. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  return (error as Error).message;
}

function fail(why: string): never {
  throw new UserError('unavailable', why);
}

async function lookUp({ host, port }: PeerAddress): Promise<string> {
  if (isIP(host) !== 0) return `${host} port ${port}`;
  const found = await lookup(host, { all: true }).catch((cause) => {
    throw new UserError('unavailable', `${host}: no machine of that name is found`, { cause });
  });
  return `${host} is ${found.map(({ address }) => address).join(', ')}, port ${port}`;
}

async function reach({ host, port }: PeerAddress): Promise<string> {
  const socket = connect({ host, port, timeout: connectMs });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('timeout', () => reject(new Error(`no answer within ${connectMs / 1000} s`)));
      socket.once('error', reject);
    });
    return `${socket.remoteAddress} answers`;
  } finally {
    socket.destroy();
  }
}

/** What a server said, which may be anything, for a line of text. */
const text = (said: unknown) => escapeControls(String(said).slice(0, 100));

function versionText({ protocol, git }: Caps): string {
  if (protocol === 1) return `git ${text(git)}`;
  return fail(`it speaks version ${text(protocol)} of the protocol, this server version 1`);
}

async function rsyncText(core: Core, { rsync: theirs }: Caps): Promise<string> {
  const ours = await ownRsync(core);
  const found = `${ours ?? 'none'} here, ${theirs === null ? 'none' : text(theirs)} there`;
  if (ours !== undefined && theirs !== null) return found;
  if (core.config.values['sync.transport'] !== 'rsync') return `${found}: tar takes its place`;
  return fail(`${found}, and sync.transport is rsync here`);
}

function clockText({ at }: Caps): string {
  const apart = Math.abs(Date.now() - Date.parse(at));
  const known = Number.isFinite(apart);
  const found = known ? `${(apart / 1000).toFixed(1)} s apart` : 'it tells no time';
  return apart > skewMs ? `${found}; no decision here depends on it` : found;
}

function diskText({ freeBytes, roomBytes = freeBytes }: Caps): string {
  const found = `${sizeText(Number(freeBytes))} free`;
  return roomBytes > 0
    ? found
    : fail(`${found}, all of it kept in reserve there: it takes nothing`);
}
