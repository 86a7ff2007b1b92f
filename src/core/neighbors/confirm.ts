import { UserError } from '../../model/errors.ts';
import { neighborName } from '../../model/hello.ts';
import { plainWords } from '../../model/pairing.ts';
import { nameFault } from '../../model/repo.ts';
import { checkBlob, fingerprint, publicKeyLine } from '../../model/sshkey.ts';
import type { Actor } from '../../store/changes.ts';
import type { Neighbor, Seen } from '../../store/neighbors.ts';
import type { Core } from '../core.ts';
import { call } from './greet.ts';
import { exchangeWords } from './pairing.ts';
import type { Pending } from './pairings.ts';

const exchangeMs = 10_000;

/** Somebody to pair with: seen before, or asking now. */
export interface Candidate {
  readonly key: Buffer;
  readonly neighbor: Neighbor | undefined;
}

/** Who is meant by `nb-…`. @throws UserError `not_found`; `conflict` for one that is confirmed already */
export async function candidateOf(core: Core, name: string): Promise<Candidate> {
  const neighbor = await core.store.neighbors.byName(name);
  if (neighbor?.serverId !== undefined) {
    throw new UserError('conflict', `${neighbor.name}: this neighbor is confirmed already`, {
      hint: `see it with: servers show ${neighbor.name}`,
    });
  }
  if (neighbor !== undefined) return { key: neighbor.key, neighbor };
  const asking = core.pairings.list().find(({ key }) => neighborName(key) === name);
  if (asking !== undefined) return { key: asking.key, neighbor: undefined };
  throw new UserError('not_found', `${name}: no such neighbor`, {
    hint: 'look for it with: neighbors discover --add',
  });
}

/**
 * The exchange whose words are to be compared: one that waits, else a new one.
 *
 * @throws UserError `unavailable` where the neighbor can't be reached, or no server runs here
 */
export async function exchangeWith(
  core: Core,
  { key, neighbor }: Candidate,
  signal: AbortSignal,
): Promise<Pending> {
  if (!core.sessions.serving) {
    throw new UserError(
      'unavailable',
      'pairing takes a server that runs: the other one signs in here',
      {
        hint: 'start it first: cpm serve',
      },
    );
  }
  const waiting = core.pairings.find(key);
  if (waiting !== undefined) return waiting;
  if (neighbor === undefined) throw new Error('nobody asks, and nobody was seen');
  const { address, port } = neighbor;
  const conversation = await call({ host: address, port, timeoutMs: exchangeMs, signal });
  try {
    if (!conversation.hello.key.equals(key)) {
      throw new UserError('denied', `${address}:${port} answers, and has another key`, {
        hint: 'find it again with: neighbors discover --add',
      });
    }
    return await exchangeWords(core, conversation, { key, address });
  } finally {
    conversation.close();
  }
}

/**
 * Ends the one attempt of an exchange (S21).
 *
 * @throws UserError `denied` when the words are others: somebody may stand between the two
 */
export function compareWords(core: Core, { key, words }: Pending, typed: string): void {
  core.pairings.end(key);
  if (plainWords(typed) === words) return;
  throw new UserError(
    'denied',
    'the words are not the same: the two machines do not hear each other alone',
    {
      hint: 'begin anew; if they differ again, somebody stands between the machines',
    },
  );
}

/**
 * Makes the other side a server here: role `neighbor`, host key pinned, its sign-in key taken.
 *
 * @param wanted - the name here; what it calls itself unless told, where that is free
 * @returns the server's name and id
 */
export async function confirm(
  core: Core,
  { from, key, address }: Pending,
  {
    neighbor,
    wanted,
    by,
  }: { neighbor: Neighbor | undefined; wanted: string | undefined; by: Actor },
): Promise<{ name: string; id: string }> {
  const hostKey = Buffer.from(from.hostKey, 'base64');
  const signInKey = checkBlob(Buffer.from(from.signInKey, 'base64'));
  const name = wanted ?? (await freeName(core, from.name, key));
  const { sshPort } = from;
  const seen: Seen = {
    ...{ key, sshPort, toldName: from.name },
    address: neighbor?.address ?? address,
    port: neighbor?.port ?? from.port,
    version: neighbor?.version ?? '',
    publicRepositories: neighbor?.publicRepositories ?? 0,
  };
  const hostKeyLine = publicKeyLine(checkBlob(hostKey), '').trim();
  const server = { name, hostKey: fingerprint(hostKey), hostKeyLine, key: signInKey };
  return { name, id: await core.store.neighbors.confirm(seen, server, by) };
}

/** What it calls itself is its own claim: it gets that name only where nobody has it, else the one made of its key (S23). */
async function freeName(core: Core, told: string, key: Buffer): Promise<string> {
  const taken = nameFault(told) !== undefined || (await core.store.servers.byName(told));
  return taken ? neighborName(key) : told;
}
