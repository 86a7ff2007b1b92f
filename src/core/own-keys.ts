import { access, rename, rm } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { generateEd25519, type KeyPair } from '../model/ed25519.ts';
import { UserError } from '../model/errors.ts';
import { hostNewsNamespace, hostNewsText } from '../model/key-news.ts';
import { readSigner, type Signer } from '../model/signer.ts';
import { fingerprint, parsePublicKey, publicKeyLine } from '../model/sshkey.ts';
import { WireFault } from '../model/sshwire.ts';
import { syncDirectory } from '../programs/bare.ts';
import { writeDurably } from '../programs/files.ts';
import type { Actor } from '../store/changes.ts';
import type { OwnKey } from '../store/own-keys.ts';
import type { Core } from './core.ts';
import { readPrivateKey } from './house.ts';
import { ownSignInLine } from './peering/own.ts';

type Parts = Pick<Core, 'store' | 'config' | 'couriers'>;

/** What rotating one of this server's own keys came to. */
export interface Rotated {
  readonly kind: OwnKey['kind'];
  /** Of the new key. */
  readonly fingerprint: string;
  /** ISO 8601: until then others may know the old one alone. */
  readonly until: string;
}

/** What falls due by itself is the operator's doing. */
const itself: Actor = {
  principal: 'operator',
  keyId: undefined,
  request: 'keys',
  dryRun: false,
};

/** Behind the name of the host key that is to take its place. */
const nextName = '.next';

/**
 * Makes a new key in the place of one of this server's own. A new key to sign in with is used at once, and the old one
 * where a server does not know the new one yet; a new host key is announced, and shown when its time has come.
 *
 * @throws UserError `not_found` for a fingerprint of no such key, `conflict` while another host key is announced
 */
export async function rotateOwnKey(
  core: Parts,
  { fingerprint: wanted, overlapMs }: { fingerprint: string; overlapMs: number },
  by: Actor,
): Promise<Rotated> {
  const leave = await core.couriers.alone('own keys');
  try {
    const until = new Date(Date.now() + overlapMs).toISOString();
    const { sshKeyPath, hostKeyPaths } = core.config;
    if ((await printOf(sshKeyPath)) === wanted) {
      return await rotateSignIn(core, sshKeyPath, { until, by });
    }
    for (const path of hostKeyPaths) {
      if ((await printOf(path)) === wanted) return await announceHost(core, path, { until, by });
    }
    throw new UserError('not_found', `${wanted}: no key of this server's own`, {
      hint: 'see them with: ssh-keygen -lf DATA_DIR/keys/server_ed25519.pub, or host_ed25519.pub',
    });
  } finally {
    leave();
  }
}

async function printOf(path: string): Promise<string> {
  return fingerprint(parsePublicKey(await ownSignInLine(path)).blob);
}

interface How {
  readonly until: string;
  readonly by: Actor;
}

async function rotateSignIn(core: Parts, path: string, { until, by }: How): Promise<Rotated> {
  refuseElsewhere(core, path);
  const old = await printOf(path);
  const pair = generateEd25519('cpm server_ed25519');
  const done = { kind: 'sign-in', fingerprint: fingerprint(pair.publicKey.blob), until } as const;
  if (by.dryRun) return done;
  // What is written twice after a crash is written with the same content.
  const earlier = `${path}.${Buffer.from(old).toString('hex').slice(-16)}`;
  await writeDurably(earlier, await readPrivateKey(path), 0o600);
  const statement = undefined;
  await core.store.ownKeys.put(
    { kind: 'sign-in', fingerprint: old, path: earlier, until, statement },
    by,
  );
  await rm(`${path}.pub`);
  await writePair(path, pair);
  return done;
}

/** A person's file is the person's to change. @throws UserError `usage` */
function refuseElsewhere({ config }: Pick<Core, 'config'>, path: string): void {
  if (path.startsWith(join(config.dataDir, 'keys') + sep)) return;
  throw new UserError('usage', `${path} is not in this data directory: it is not rotated here`, {
    hint: 'make another key there with ssh-keygen, and have it known with: servers set NAME --key -',
  });
}

/** The private half first: whoever finds it alone makes the public one of it. */
async function writePair(path: string, pair: KeyPair): Promise<void> {
  await writeDurably(path, pair.privateKey, 0o600);
  await writeDurably(`${path}.pub`, `${pair.publicLine}\n`, 0o644);
}

async function announceHost(core: Parts, path: string, { until, by }: How): Promise<Rotated> {
  refuseElsewhere(core, path);
  const next = `${path}${nextName}`;
  const announced = (await core.store.ownKeys.of('host')).find((each) => each.path === next);
  if (announced !== undefined) {
    throw new UserError('conflict', `${announced.fingerprint} takes its place already`, {
      hint: `it is shown from ${announced.until} on`,
    });
  }
  const signer = await signerOf(path);
  const pair = generateEd25519('cpm host_ed25519');
  const { blob } = pair.publicKey;
  const done = { kind: 'host', fingerprint: fingerprint(blob), until } as const;
  if (by.dryRun) return done;
  const old = publicKeyLine(signer.publicKey);
  const news = { house: core.store.houseId, old, line: publicKeyLine(pair.publicKey) };
  const signature = signer.sign(hostNewsNamespace, hostNewsText(news));
  await writePair(next, pair);
  const statement = JSON.stringify({ ...news, signature });
  await core.store.ownKeys.put({ ...done, path: next, statement }, by);
  return done;
}

/** @throws UserError `usage` for a key of another kind */
async function signerOf(path: string): Promise<Signer> {
  const text = await readPrivateKey(path);
  try {
    return readSigner(text);
  } catch (cause) {
    if (!(cause instanceof WireFault)) throw cause;
    throw new UserError('usage', `${path} can't say which key follows it: ${cause.message}`, {
      hint: 'ed25519 keys can; else put the new file in its place, and trust it on each server',
      cause,
    });
  }
}

/** The private keys that this server signs in with, the newest first. */
export async function signInPaths({ store, config }: Parts): Promise<[string, ...string[]]> {
  const earlier = await store.ownKeys.of('sign-in');
  return [config.sshKeyPath, ...earlier.map(({ path }) => path).reverse()];
}

/** Shows the host keys whose time has come: to whoever connects from now on. */
export async function takeOverHostKeys(core: Core): Promise<void> {
  const now = new Date().toISOString();
  const due = (await core.store.ownKeys.of('host')).filter(({ until }) => until <= now);
  if (due.length === 0) return;
  const leave = await core.couriers.alone('own keys');
  try {
    for (const { path } of due) {
      const place = path.slice(0, -nextName.length);
      await rm(`${place}.pub`, { force: true });
      await rename(path, place);
      await syncDirectory(dirname(place));
      await rename(`${path}.pub`, `${place}.pub`);
    }
    await core.sessions.showHostKeys(
      await Promise.all(core.config.hostKeyPaths.map(readPrivateKey)),
    );
    for (const key of due) {
      await core.store.ownKeys.drop(key, itself);
      core.audit.noted('host key', { fingerprint: key.fingerprint });
    }
  } finally {
    leave();
  }
}

/** Forgets earlier keys to sign in with that no server can need any more. */
export async function dropEarlierKeys(core: Parts): Promise<void> {
  const now = new Date().toISOString();
  const over = (await core.store.ownKeys.of('sign-in')).filter(({ until }) => until <= now);
  if (over.length === 0) return;
  const told = await core.store.ownKeys.told(await printOf(core.config.sshKeyPath));
  const servers = await core.store.servers.list();
  if (servers.some(({ id, url }) => url !== undefined && !told.has(id))) return;
  for (const key of over) {
    await core.store.ownKeys.drop(key, itself);
    await rm(key.path, { force: true });
  }
}

/** Finishes what a crash cut off while keys changed places. */
export async function settleOwnKeys({
  store,
  config,
}: Pick<Core, 'store' | 'config'>): Promise<void> {
  const folder = join(config.dataDir, 'keys') + sep;
  const paths = [config.sshKeyPath, ...config.hostKeyPaths];
  for (const path of paths.filter((each) => each.startsWith(folder))) {
    if ((await isThere(`${path}.pub`)) || !(await isThere(path))) continue;
    await writeDurably(`${path}.pub`, `${await ownSignInLine(path)}\n`, 0o644);
  }
  for (const key of await store.ownKeys.of('host')) {
    if (await isThere(key.path)) continue;
    await rm(`${key.path}.pub`, { force: true });
    await store.ownKeys.drop(key, itself);
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
