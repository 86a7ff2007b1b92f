import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { generateEd25519 } from '../model/ed25519.ts';
import { UserError } from '../model/errors.ts';
import { checkNamespace, isReserved, nameFault } from '../model/repo.ts';
import { fingerprint, parsePublicKey } from '../model/sshkey.ts';
import { writeDurably } from '../programs/files.ts';
import { agentKeys } from '../programs/ssh-agent.ts';
import type { Store } from '../store/store.ts';

/** Who runs the first start, as far as it may ask: only a person at a terminal can confirm an agent's key. */
export interface Asker {
  /** @returns whether the person said yes; absent without a terminal */
  readonly confirm?: ((question: string) => Promise<boolean>) | undefined;
}

export interface FirstAdmin {
  readonly name: string;
  readonly fingerprint: string;
  /** Where the key came from: a file's path, or `the agent`. */
  readonly source: string;
  /** The private key's file, where it is known: what ssh is to be given. */
  readonly identityFile: string | undefined;
}

type AdminKey = ReturnType<typeof parsePublicKey> & Pick<FirstAdmin, 'source' | 'identityFile'>;

/** The three keys of a server, each for one use (S20). */
export const serverKeys = ['host_ed25519', 'server_ed25519', 'sign_ed25519'] as const;

/** Everything that is decided before anything is created: the first admin's name and key. */
export interface FirstStartPlan {
  readonly name: string;
  /** undefined: a new pair is made in the data directory. */
  readonly key: AdminKey | undefined;
}

/** @throws UserError `usage` for a bad `CPM_ADMIN` or `CPM_ADMIN_KEY` */
export async function planFirstStart(config: Config, asker: Asker): Promise<FirstStartPlan> {
  const { name } = config.firstAdmin;
  return {
    name: name === undefined ? accountName() : checkNamespace(name, 'user'),
    key: await findAdminKey(config, asker),
  };
}

/** Writes the server's keys, and the admin's where there was none. */
export async function writeFirstKeys(config: Config, plan: FirstStartPlan): Promise<AdminKey> {
  const folder = join(config.dataDir, 'keys');
  for (const name of serverKeys) await writePair(folder, name, `cpm ${name}`);
  return plan.key ?? (await writePair(folder, 'admin_ed25519', `${plan.name} at cpm`));
}

/** Adds the first site admin. */
export async function addFirstAdmin(
  store: Store,
  name: string,
  key: AdminKey,
): Promise<FirstAdmin> {
  const by = { principal: 'operator', keyId: undefined, request: 'first-start', dryRun: false };
  await store.users.add({ name, admin: true, key }, by);
  const { source, identityFile } = key;
  return { name, fingerprint: fingerprint(key.blob), source, identityFile };
}

async function writePair(folder: string, name: string, comment: string): Promise<AdminKey> {
  const pair = generateEd25519(comment);
  const path = join(folder, name);
  await writeDurably(path, pair.privateKey, 0o600);
  await writeDurably(`${path}.pub`, `${pair.publicLine}\n`, 0o644);
  return { ...parsePublicKey(pair.publicLine), source: `${path}.pub`, identityFile: path };
}

async function findAdminKey(config: Config, asker: Asker): Promise<AdminKey | undefined> {
  const { keyFile } = config.firstAdmin;
  if (keyFile !== undefined) return readKey(keyFile);
  for (const type of ['ed25519', 'ecdsa', 'rsa']) {
    const path = join(config.home, '.ssh', `id_${type}.pub`);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined) return { ...parsePublicKey(text), ...sourceOf(path) };
  }
  if (asker.confirm === undefined || config.agentSocket === undefined) return undefined;
  const [only, ...others] = await agentKeys(config.agentSocket);
  if (only === undefined || others.length > 0) return undefined;
  const key = parsePublicKey(only);
  const question = `Use the agent's key ${fingerprint(key.blob)} (${key.comment}) for the first site admin?`;
  if (!(await asker.confirm(question))) return undefined;
  return { ...key, source: 'the agent', identityFile: undefined };
}

async function readKey(path: string): Promise<AdminKey> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UserError('usage', `CPM_ADMIN_KEY: ${path} can't be read: ${cause.code}`, { cause });
  });
  return { ...parsePublicKey(text), ...sourceOf(path) };
}

function sourceOf(path: string): Pick<FirstAdmin, 'source' | 'identityFile'> {
  return { source: path, identityFile: path.endsWith('.pub') ? path.slice(0, -4) : undefined };
}

/** The OS account's name made to fit the name rule; `admin` where there is none, or it can't be, or is reserved. */
function accountName(): string {
  const fitted = osAccount()
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63);
  return nameFault(fitted) === undefined && !isReserved(fitted) ? fitted : 'admin';
}

/** Empty for a number without an account, as containers are given. */
function osAccount(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}
