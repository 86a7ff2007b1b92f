import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { counterpart, type Invitation, invitationKey } from '../../model/invitation.ts';
import { peerUrl } from '../../model/peer.ts';
import { nameFault, quoted } from '../../model/repo.ts';
import { parsePublicKey } from '../../model/sshkey.ts';
import { writeDurably } from '../../programs/files.ts';
import { askOnce, type SshTarget } from '../../programs/ssh.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { type JoinAnswer, type JoinQuestion, joinProgram } from './invite.ts';
import { linkAll } from './link-all.ts';
import { ownAddress, ownHostKeys, ownSignInLine } from './own.ts';
import { readReply, remoteError } from './remote.ts';
import { expectHostKey } from './trust.ts';

interface Joining {
  readonly invitation: Invitation;
  /** What the inviting server is to be called here; made of its address unless told. */
  readonly name: string | undefined;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/**
 * Takes an invitation. This server writes the other one down first, and takes that back where the other side then
 * refuses: what a crash in between leaves is one row here, and the invitation can still be taken.
 *
 * @returns the server as it is known here now, and what it calls us
 * @throws UserError `denied` for an invitation that was used or has ended, `conflict` for a server that is known
 */
export async function join(
  core: Core,
  { invitation, name, by, signal }: Joining,
): Promise<{ server: Server; calledThere: string }> {
  const { address, hostKey } = invitation;
  const seen = await expectHostKey(address, hostKey, signal);
  const about = await self(core);
  return withTarget(core, { invitation, line: seen.line }, async (target) => {
    const ask = (verb: JoinQuestion['verb']) => question(target, { verb, ...about }, signal);
    const facts = await ask('ask');
    if (facts.role !== invitation.role) {
      throw new UserError('conflict', 'the invitation says one role, its server another', {
        hint: 'ask for a new invitation: this line was changed on its way',
      });
    }
    const server = await writeDown(core, { facts, invitation, name, line: seen.line, by });
    if (by.dryRun) return { server, calledThere: facts.name };
    try {
      await ask('take');
    } catch (error) {
      await core.store.servers.remove(server, by);
      throw error;
    }
    if (server.role === 'backup') await linkAll(core, server, by);
    return { server, calledThere: facts.name };
  });
}

async function self(core: Core): Promise<Omit<JoinQuestion, 'verb'>> {
  const [own] = await ownHostKeys(core);
  if (own === undefined) {
    throw new UserError('unavailable', 'the public half of the host key is missing');
  }
  return {
    houseId: core.store.houseId,
    url: peerUrl(ownAddress(core)),
    hostKey: own.line,
    key: await ownSignInLine(core.config.sshKeyPath),
  };
}

async function writeDown(
  core: Core,
  {
    facts,
    invitation: { role, address, hostKey },
    name,
    line,
    by,
  }: Omit<Joining, 'signal'> & { facts: JoinAnswer; line: string },
): Promise<Server> {
  const { servers } = core.store;
  const known = await servers.list();
  const same = known.find(({ houseId }) => houseId === facts.houseId);
  if (same !== undefined) {
    throw new UserError('conflict', `${same.name}: this server is known already`, {
      hint: `forget it first, then join again: servers remove ${same.name} --yes`,
    });
  }
  const theirs = counterpart(role);
  const called = name ?? freeName(address.host, theirs, known);
  const added = {
    name: called,
    role: theirs,
    url: peerUrl(address),
    hostKey,
    hostKeyLine: line,
    key: parsePublicKey(String(facts.key)),
    houseId: String(facts.houseId),
  };
  const id = await servers.add(added, by);
  const nothing = { bandwidth: undefined, error: undefined, latencyMs: undefined };
  return (
    (await servers.byId(id)) ?? { id, ...added, ...nothing, state: 'unknown', checkedAt: undefined }
  );
}

/** The first part of a host name; for an address by numbers, the role. */
function freeName(host: string, role: string, known: readonly Server[]): string {
  const [label = ''] = host.toLowerCase().split('.');
  const fits = /^[a-z]/.test(label) && !host.includes(':') && nameFault(label) === undefined;
  const wanted = fits && label !== 'localhost' ? label : role;
  const taken = new Set(known.map((each) => each.name));
  for (let nth = 1; ; nth += 1) {
    const candidate = nth === 1 ? wanted : `${wanted}-${nth}`;
    if (!taken.has(candidate)) return candidate;
  }
}

/** Has the code's private key and the host key in files for as long as `work` takes. */
async function withTarget<T>(
  core: Core,
  { invitation, line }: { invitation: Invitation; line: string },
  work: (target: SshTarget) => Promise<T>,
): Promise<T> {
  const folder = joinPath(core.config.dataDir, 'run', `join-${randomUUID()}`);
  await mkdir(folder, { mode: 0o700 });
  try {
    const identity = joinPath(folder, 'key');
    const knownHosts = joinPath(folder, 'known-hosts');
    await writeDurably(identity, invitationKey(invitation.code).privateKey, 0o600);
    await writeDurably(knownHosts, `cpm-join ${line}\n`, 0o600);
    return await work({ ...invitation.address, alias: 'cpm-join', knownHosts, identity });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function question(
  target: SshTarget,
  asked: JoinQuestion,
  signal: AbortSignal,
): Promise<JoinAnswer> {
  const input = `${JSON.stringify(asked)}\n`;
  const { stdout, stderr } = await askOnce(target, joinProgram, { input, signal });
  const there = `${target.host}:${target.port}`;
  if (stdout === '') {
    if (/Permission denied/.test(stderr)) {
      throw new UserError('denied', `${there} does not know this invitation`, {
        hint: 'it was used, its hour is over, or a newer one took its place: ask for a new one',
      });
    }
    throw new UserError('unavailable', `${there} broke off: ${quoted(stderr.trim().slice(-200))}`);
  }
  const reply = readReply(stdout);
  if (reply.error !== undefined) throw remoteError({ name: there }, reply.error);
  return reply.ok as JoinAnswer;
}
