import { connect } from 'node:net';
import { UserError } from '../../model/errors.ts';
import type { PeerAddress } from '../../model/peer.ts';
import { sizeText } from '../../model/units.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { ownRsync } from './carry.ts';
import type { Caps } from './protocol.ts';
import { Remote } from './remote.ts';
import { addressOf, targetOf } from './trust.ts';

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

/** Walks to another server step by step and says at which it fails. What is found is noted in the registry. */
export async function probe(
  core: Core,
  server: Server,
  { by, signal }: { by: Actor; signal: AbortSignal },
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
      const detail = error instanceof UserError ? error.message : String((error as Error).message);
      steps.push({ step, detail, ok: false, ms: ms() });
      return false;
    }
  };
  let address: PeerAddress | undefined;
  let remote: Remote | undefined;
  let caps: Caps | undefined;
  const found = async () => caps ?? fail('nothing was heard of it');
  const reached =
    (await take('name', async () => {
      address = addressOf(server);
      return `${address.host} port ${address.port}`;
    })) &&
    (await take('tcp', () => reach(address))) &&
    (await take('host key', async () => {
      await targetOf(core, server, { by, signal });
      return server.hostKey ?? '';
    })) &&
    (await take('sign-in', async () => {
      remote = await Remote.open(core, server, { by, signal });
      caps = await remote.ask('caps', {});
      return 'this server may ask';
    })) &&
    (await take('versions', async () => `git ${(await found()).git}`)) &&
    (await take('rsync', async () => rsyncText(await ownRsync(core), (await found()).rsync))) &&
    (await take('clock', async () => clockText((await found()).at))) &&
    (await take('disk', async () => `${sizeText((await found()).freeBytes)} free`));
  await remote?.close();
  await note(core, server, { by, steps, reached, caps });
  return steps;
}

async function note(
  core: Core,
  server: Server,
  found: { by: Actor; steps: readonly Step[]; reached: boolean; caps: Caps | undefined },
): Promise<void> {
  const now = await core.store.servers.byId(server.id);
  // A host key that changed was noted where it was seen.
  if (now === undefined || now.state === 'untrusted') return;
  const failed = found.steps.find(({ ok }) => !ok);
  const latencyMs = found.steps.find(({ step }) => step === 'tcp')?.ms;
  const health = found.reached
    ? { state: 'up' as const, latencyMs, houseId: found.caps?.houseId }
    : { state: 'down' as const, error: `${failed?.step}: ${failed?.detail}` };
  await core.store.servers.note(now, health, { ...found.by, dryRun: false });
}

function fail(why: string): never {
  throw new UserError('unavailable', why);
}

async function reach(address: PeerAddress | undefined): Promise<string> {
  if (address === undefined) return fail('it has no address');
  const { host, port } = address;
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

function rsyncText(ours: string | undefined, theirs: string | null): string {
  const both = ours !== undefined && theirs !== null;
  return `${ours ?? 'none'} here, ${theirs ?? 'none'} there${both ? '' : ': tar takes its place'}`;
}

async function clockText(at: string): Promise<string> {
  const apart = Math.abs(Date.now() - Date.parse(at));
  const known = Number.isFinite(apart);
  const text = known ? `${(apart / 1000).toFixed(1)} s apart` : 'it tells no time';
  return apart > skewMs ? `${text}; no decision here depends on it` : text;
}
