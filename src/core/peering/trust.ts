import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { type AccountAddress, type PeerAddress, parsePeerUrl } from '../../model/peer.ts';
import { writeDurably } from '../../programs/files.ts';
import { type SeenHostKey, type SshTarget, scanHostKeys } from '../../programs/ssh.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { readPrivateKey } from '../house.ts';
import { signInPaths } from '../own-keys.ts';

/** Where a server is reached. @throws UserError `usage` for one that only comes to us */
export function addressOf({ name, url }: Server): PeerAddress {
  if (url !== undefined) return parsePeerUrl(url);
  throw new UserError('usage', `${name} has no address here: it comes to us`, {
    hint: `give it one with: servers set ${name} --url cpm@HOST:PORT`,
  });
}

/**
 * The host key that a server shows, if it is the expected one.
 *
 * @throws UserError `unavailable` where none answers, `denied` where another one is shown
 */
export async function expectHostKey(
  address: AccountAddress,
  expected: string,
  signal: AbortSignal,
): Promise<SeenHostKey> {
  const seen = await scanHostKeys(address, signal);
  const found = seen.find(({ fingerprint }) => fingerprint === expected);
  if (found !== undefined) return found;
  if (seen.length === 0) {
    throw new UserError('unavailable', `${address.host}:${address.port} shows no host key`, {
      hint: 'does a server run there, and may it be reached from here?',
    });
  }
  const shown = seen.map(({ fingerprint }) => fingerprint).join(', ');
  throw new UserError('denied', `host key is ${shown}, expected ${expected}`, {
    hint: 'compare the fingerprint on that machine itself before you trust it',
  });
}

/**
 * How to reach a server with the ssh client: its pinned host key in a file of its own, our own key. A key that was
 * pinned by its fingerprint alone is looked up first.
 *
 * @throws UserError when it is not trusted, or can't be reached for its key
 */
export async function targetOf(
  core: Core,
  server: Server,
  { by, signal }: { by: Actor; signal: AbortSignal },
): Promise<SshTarget> {
  const address = addressOf(server);
  if (server.state === 'untrusted') throw untrusted(server, server.error ?? 'its host key changed');
  if (server.hostKey === undefined) {
    throw new UserError('denied', `${server.name}: no host key is pinned`, {
      hint: `pin it with: servers trust ${server.name} --fingerprint SHA256:…`,
    });
  }
  await readPrivateKey(core.config.sshKeyPath);
  let line = server.hostKeyLine;
  if (line === undefined) {
    line = (await expectHostKey(address, server.hostKey, signal)).line;
    await core.store.servers.pin(server, server.hostKey, line, { ...by, dryRun: false });
  }
  const folder = join(core.config.dataDir, 'run', 'known-hosts');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const alias = `cpm-${server.id}`;
  const knownHosts = join(folder, server.id);
  const announced = await core.store.serverKeys.announced(server.id);
  const lines = [line, ...announced.map((each) => each.line)];
  await writeDurably(knownHosts, lines.map((each) => `${alias} ${each}\n`).join(''), 0o600);
  const [identity, ...earlier] = await signInPaths(core);
  return { ...address, alias, knownHosts, identity, earlier };
}

/** All sync with a server stops until somebody trusts its new host key. */
export async function distrust(
  core: Core,
  server: Server,
  { by, signal }: { by: Actor; signal: AbortSignal },
): Promise<UserError> {
  const seen = await scanHostKeys(addressOf(server), signal);
  const shown = seen.map(({ fingerprint }) => fingerprint).join(', ') || 'another one';
  const error = `host key is ${shown}, pinned ${server.hostKey}`;
  await core.store.servers.note(server, { state: 'untrusted', error }, { ...by, dryRun: false });
  return untrusted(server, error);
}

function untrusted({ name }: Server, why: string): UserError {
  return new UserError('denied', `sync with ${name} stopped: ${why}`, {
    hint: `once you know that it is right: servers trust ${name} --fingerprint SHA256:…`,
  });
}
