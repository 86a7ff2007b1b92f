import { authorizedKeys, withKeyLine } from '../../model/authorized-keys.ts';
import { UserError } from '../../model/errors.ts';
import { readSigner } from '../../model/signer.ts';
import { fingerprint, type PublicKey, parsePublicKey, publicKeyLine } from '../../model/sshkey.ts';
import { readAccountFile, writeAccountFile } from '../../programs/sftp.ts';
import type { Core } from '../core.ts';
import { readPrivateKey } from '../house.ts';
import { ownSignInLine } from '../peering/own.ts';
import { ask, askCpm, type Met, type Place, visit, type Where } from './visit.ts';

/** Where an account's keys are, from its home. */
export const accountKeys = '.ssh/authorized_keys';

/** The namespace of the signature by which a key is proven; another server chooses what is signed in it (S20). */
const proofNamespace = 'cpm-key';

/** What putting this server's key somewhere came to. */
export interface Deployed {
  readonly changed: boolean;
  readonly fingerprint: string;
  /** `USER@host:port` */
  readonly address: string;
  /** Whose key it is there. */
  readonly user: string;
}

/**
 * Puts the key that this server signs in with on another machine: on a cpm server it becomes a key of the person whose
 * key opens it, or of `user`; on a plain account it gets a line that lets it do what cpm there allows and nothing else.
 *
 * @throws UserError when none of the keys opens it, or it does not take the key
 */
export async function deploy(
  core: Core,
  { user, ...where }: Where & { user: string | undefined },
): Promise<Deployed> {
  const key = parsePublicKey(await ownSignInLine(core.config.sshKeyPath));
  return visit(core, where, async (place) => {
    const about = { fingerprint: fingerprint(key.blob), address: place.address };
    const before = await place.meetAsServer();
    if (before?.kind === 'cpm') return { changed: false, ...about, user: before.user };
    const met = before ?? (await place.meet());
    const asked = { key, user, met, place, dryRun: where.by.dryRun };
    const done = met.kind === 'cpm' ? await toServer(core, asked) : await toAccount(core, asked);
    return { changed: true, ...about, user: done };
  });
}

interface Asked {
  readonly key: PublicKey;
  readonly user: string | undefined;
  readonly met: Met;
  readonly place: Place;
  readonly dryRun: boolean;
}

/** @returns whose key it is there */
async function toServer(core: Core, asked: Asked): Promise<string> {
  const { user, met, dryRun } = asked;
  const whose = user ?? ('user' in met ? met.user : '');
  if (dryRun) return whose;
  const { state } = await add(core, [], asked);
  if (state === 'pending') await prove(core, asked);
  return whose;
}

/** @param program - what runs cpm there, where that is not the server itself */
function add(core: Core, program: readonly string[], { key, user, met, place }: Asked) {
  const title = `cpm server ${core.publicUrl().replace(/^ssh:\/\//, '')}`;
  const whose = user === undefined ? [] : ['--user', user];
  const words = [...program, 'sshkey', 'add', '-', '--title', title, ...whose];
  const input = `${publicKeyLine(key)}\n`;
  return askCpm(met.target, words, { input, signal: place.signal });
}

/** A key that one adds for oneself counts once its private half was shown. */
async function prove(core: Core, { key, met: { target }, place: { signal } }: Asked) {
  const words = ['sshkey', 'verify', fingerprint(key.blob)];
  const { challenge } = await askCpm(target, words, { signal });
  if (typeof challenge !== 'string' || !/^[\w+/=:.-]{1,200}$/.test(challenge)) {
    throw new UserError('unavailable', `${target.host}: it asks for no proof that can be given`);
  }
  const signer = readSigner(await readPrivateKey(core.config.sshKeyPath));
  await askCpm(target, words, { input: signer.sign(proofNamespace, challenge), signal });
}

/** @returns whose key it is there */
async function toAccount(core: Core, asked: Asked): Promise<string> {
  const { user, place, dryRun } = asked;
  const known = await lineFor(asked);
  if (known === undefined && user === undefined) {
    throw new UserError('usage', `cpm on ${place.address} does not know this key yet`, {
      hint: 'say whose key it is to be there: --user NAME',
    });
  }
  if (dryRun) return user ?? 'whom cpm there knows by it';
  if (known === undefined) await add(core, ['cpm'], asked);
  const line = known ?? (await lineFor(asked));
  if (line === undefined) {
    throw new UserError('unavailable', `cpm on ${place.address} gives no line for the key`);
  }
  await putLine(asked, line);
  const after = await place.meetAsServer();
  if (after?.kind === 'cpm') return after.user;
  throw new UserError(
    'unavailable',
    `${place.address} does not take the key, in spite of its line`,
    {
      hint: `does its sshd read ${accountKeys}? See AuthorizedKeysFile in its configuration`,
    },
  );
}

/**
 * The line by which a key opens cpm on an account and nothing besides (S25), as cpm there gives it to its own sshd.
 *
 * @returns undefined where it does not know the key
 */
async function lineFor({ key, met: { target }, place }: Asked): Promise<string | undefined> {
  const words = ['cpm', 'authorized-keys', '--user', target.user, '--type', key.type];
  const base64 = key.blob.toString('base64');
  const said = await ask(target, [...words, '--key', base64], { signal: place.signal });
  const line = said.stdout.trim();
  if (said.status === 0 && line === '') return undefined;
  const [only, ...others] = authorizedKeys(line);
  const isOurs = only?.blob.equals(key.blob) === true && others.length === 0;
  if (said.status === 0 && isOurs && /^restrict,command="[^\n]+" \S+ \S+$/.test(line)) return line;
  throw new UserError('not_found', `${place.address}: no cpm answers on this account`, {
    hint: 'install cpm there, with a data directory of this account, and the program cpm in its PATH',
  });
}

async function putLine({ key, met: { target }, place }: Asked, line: string): Promise<void> {
  const before = await readAccountFile(target, accountKeys, place);
  const text = withKeyLine(before ?? '', key, line);
  if (text === before) return;
  const isNew = before === undefined;
  await writeAccountFile(target, { path: accountKeys, text, isNew }, place);
}
