import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { type Identified, identifyKey, type SignInStore } from '../../core/identify.ts';
import { shellWord } from '../../model/shell-line.ts';
import type { ForcedWords } from './words.ts';

/** Where a forced command finds its server and its settings: absolute paths. */
export interface Place {
  readonly dataDir: string;
  /** Undefined where the default file is read. */
  readonly config: string | undefined;
}

type Offer = Extract<ForcedWords, { command: 'authorized-keys' }>;

/**
 * Answers sshd's question about a key that somebody offers: an offer proves nothing, so nothing is written down.
 *
 * @returns a line of an authorized_keys file, or nothing for a key that may not sign in, or not as that account
 */
export async function keyLine(store: SignInStore, offer: Offer, place: Place): Promise<string> {
  if (!isOwnAccount(offer.user)) return '';
  const owner = await identifyKey(store, Buffer.from(offer.key, 'base64'));
  if (owner === undefined || owner.type !== offer.type) return '';
  return lineOf(owner, place, process.argv[1] ?? '');
}

/**
 * Whether an account is the one that this process runs as: a configuration that asks cpm for everybody's keys must open
 * no other account with them.
 */
function isOwnAccount(name: string): boolean {
  const own = userInfo();
  if (name === own.username) return true;
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n');
  return accounts.some(
    (line) => line.startsWith(`${name}:`) && line.split(':')[2] === `${own.uid}`,
  );
}

function lineOf({ type, blob, principal }: Identified, place: Place, script: string): string {
  const { dataDir, config } = place;
  const keyId = 'keyId' in principal ? principal.keyId : '';
  const where = ['--data-dir', dataDir, ...(config === undefined ? [] : ['--config', config])];
  const words = [...where, 'shell', '--key-id', keyId].map(shellWord).join(' ');
  const command = `${programLine(script)} ${words}`.replaceAll('"', '\\"');
  return `restrict,command="${command}" ${type} ${blob.toString('base64')}\n`;
}

/**
 * What the account's shell starts: the small client, where it was compiled; else Node, which must see nothing of the
 * environment, where its own variables would have it load what the client likes.
 */
function programLine(script: string): string {
  const main = realpathSync(script);
  const client = join(dirname(main), 'cpm-forced');
  if (existsSync(client)) return `exec ${shellWord(client)}`;
  const told = ['SSH_ORIGINAL_COMMAND', 'SSH_CONNECTION', 'GIT_PROTOCOL'];
  const kept = told.map((name) => `${name}="$${name}"`).join(' ');
  const path = 'PATH=/usr/local/bin:/usr/bin:/bin';
  const node = [process.execPath, main].map(shellWord).join(' ');
  return `exec /usr/bin/env -i ${path} ${kept} ${node}`;
}
