import { randomUUID } from 'node:crypto';
import { access, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorCode, statuses, UserError } from '../../model/errors.ts';
import { parseAccount, peerUrl } from '../../model/peer.ts';
import { escapeControls } from '../../model/repo.ts';
import { shellWord } from '../../model/shell-line.ts';
import { writeDurably } from '../../programs/files.ts';
import { type Asked, askOnce, type SshTarget } from '../../programs/ssh.ts';
import type { Actor } from '../../store/changes.ts';
import type { Core } from '../core.ts';
import { expectHostKey, targetOf } from '../peering/trust.ts';

/** Where somebody's key is to open, and which keys are tried. */
export interface Where {
  /** A registered server's name, `cpm@host[:port]`, or `ACCOUNT@host[:port]`. */
  readonly server: string;
  /** Of the host key; of one that is not registered it must be told. */
  readonly fingerprint: string | undefined;
  /** A person's private key; those in the operator's home unless told. */
  readonly identity: string | undefined;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/** What is met behind a key: cpm, as somebody, or an account with a shell. */
export type Met =
  | { readonly kind: 'cpm'; readonly target: SshTarget; readonly user: string }
  | { readonly kind: 'account'; readonly target: SshTarget };

/** Another machine, for as long as a visit lasts. */
export interface Place {
  /** A folder of this server's own, gone when the visit ends. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** `USER@host:port` */
  readonly address: string;
  /** Signs in with this server's own key alone. @returns undefined where it does not open */
  meetAsServer(): Promise<Met | undefined>;
  /** Signs in with the first key that opens. @throws UserError `denied` where none does */
  meet(): Promise<Met>;
}

/**
 * Goes to another machine with the OpenSSH client, on which its host key was pinned before or is told now (S23, S25).
 *
 * @throws UserError when it can't be reached, or is not to be trusted
 */
export async function visit<T>(
  core: Core,
  where: Where,
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const { signal } = where;
  const folder = join(core.config.dataDir, 'run', `visit-${randomUUID()}`);
  await mkdir(folder, { mode: 0o700 });
  try {
    const target = await find(core, where, folder);
    const { sshKeyPath } = core.config;
    const own = { ...target, identity: sshKeyPath };
    const tried = [
      own,
      ...(await identities(core, where)).map((each) => ({ ...own, identity: each })),
    ];
    return await work({
      folder,
      signal,
      address: peerUrl(target),
      meetAsServer: () => greet(own, signal),
      meet: async () => {
        for (const each of tried) {
          const met = await greet(each, signal);
          if (met !== undefined) return met;
        }
        throw refused(own, where.identity);
      },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** How to reach it; the key to sign in with is chosen later. */
async function find(
  core: Core,
  { server, fingerprint, ...caller }: Where,
  folder: string,
): Promise<Omit<SshTarget, 'identity'>> {
  const { servers } = core.store;
  if (!server.includes('@')) {
    const named = await servers.byName(server);
    if (named !== undefined) return targetOf(core, named, caller);
    throw new UserError('not_found', `${server}: no such server`, {
      hint: 'see them with: servers list; or write cpm@HOST:PORT, or ACCOUNT@HOST:PORT',
    });
  }
  const address = parseAccount(server);
  const url = peerUrl(address);
  const known = (await servers.list()).find((each) => each.url === url);
  if (known !== undefined) return targetOf(core, known, caller);
  if (fingerprint === undefined) {
    throw new UserError('usage', `${url} is not registered here: it needs --fingerprint`, {
      hint: 'its operator reads it there with: ssh-keygen -lf HOST_KEY.pub',
    });
  }
  const { line } = await expectHostKey(address, fingerprint, caller.signal);
  const knownHosts = join(folder, 'known-hosts');
  await writeDurably(knownHosts, `cpm-visit ${line}\n`, 0o600);
  return { ...address, alias: 'cpm-visit', knownHosts };
}

/** The files of persons' private keys that are there. */
async function identities({ config }: Core, { identity }: Where): Promise<string[]> {
  if (identity !== undefined) {
    await access(identity).catch((cause: NodeJS.ErrnoException) => {
      throw new UserError('usage', `${identity} can't be read: ${cause.code}`, { cause });
    });
    return [identity];
  }
  const found: string[] = [];
  for (const type of ['ed25519', 'ecdsa', 'rsa']) {
    const path = join(config.home, '.ssh', `id_${type}`);
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) found.push(path);
  }
  return found;
}

/** Asks who one is there. @returns undefined where the key does not open */
async function greet(target: SshTarget, signal: AbortSignal): Promise<Met | undefined> {
  const said = await ask(target, ['whoami', '--json'], { signal });
  if (said.status === 255) {
    if (/Permission denied/.test(said.stderr)) return undefined;
    throw unreachable(target, said.stderr);
  }
  const { user, server } = parsed(said.stdout);
  const { error } = parsed(said.stderr);
  if (typeof user === 'string' && typeof server === 'string') return { kind: 'cpm', target, user };
  if (error !== undefined) return { kind: 'cpm', target, user: 'nobody who may ask' };
  return { kind: 'account', target };
}

/** Has words carried out; whatever interprets them there gets them as words. */
export function ask(
  target: SshTarget,
  words: readonly string[],
  { input = '', signal }: { input?: string; signal: AbortSignal },
): Promise<Asked> {
  return askOnce(target, words.map(shellWord).join(' '), { input, signal });
}

/** Has a command of cpm carried out. @returns its answer. @throws UserError as the other side has it */
export async function askCpm(
  target: SshTarget,
  words: readonly string[],
  how: { input?: string; signal: AbortSignal },
): Promise<Readonly<Record<string, unknown>>> {
  const { status, stdout, stderr } = await ask(target, [...words, '--json'], how);
  if (status === 0) return parsed(stdout);
  const { error } = parsed(stderr) as { error?: Readonly<Record<string, unknown>> };
  if (error === undefined) throw unreachable(target, stderr);
  const { code, message, hint } = error;
  const known = Object.hasOwn(statuses, String(code)) ? (code as ErrorCode) : 'internal';
  const told = escapeControls(String(message)).slice(0, 1000);
  throw new UserError(
    known,
    `${target.host}: ${told}`,
    typeof hint === 'string' ? { hint: escapeControls(hint).slice(0, 1000) } : {},
  );
}

/** What is no object in JSON counts as one without fields. */
function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function unreachable({ host, port }: SshTarget, stderr: string): UserError {
  const last = escapeControls(stderr.trim().split('\n').at(-1) ?? '').slice(0, 300);
  if (/Host key verification failed/.test(stderr)) {
    return new UserError('denied', `${host}:${port} shows another host key than the pinned one`, {
      hint: 'once you know that it is right: servers trust NAME --fingerprint SHA256:…',
    });
  }
  return new UserError('unavailable', `${host}:${port}: ${last || 'the connection broke off'}`);
}

function refused({ user, host, port }: SshTarget, identity: string | undefined): UserError {
  const tried = identity ?? "this server's key, and ~/.ssh/id_ed25519, id_ecdsa and id_rsa";
  return new UserError('denied', `${user}@${host}:${port} takes none of the keys: ${tried}`, {
    hint: 'name a private key without a passphrase that opens it: --identity FILE',
  });
}
