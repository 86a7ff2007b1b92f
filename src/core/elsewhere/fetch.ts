import { authorizedKeys } from '../../model/authorized-keys.ts';
import { UserError } from '../../model/errors.ts';
import { escapeControls } from '../../model/repo.ts';
import { fingerprint, type PublicKey, parsePublicKey } from '../../model/sshkey.ts';
import { readAccountFile } from '../../programs/sftp.ts';
import type { SshTarget } from '../../programs/ssh.ts';
import type { Core } from '../core.ts';
import { accountKeys } from './deploy.ts';
import { ask, askCpm, visit, type Where } from './visit.ts';

/** A public key that another machine has. */
export interface FetchedKey {
  readonly key: PublicKey;
  /** By the key itself, whatever was said of it. */
  readonly fingerprint: string;
  readonly title: string;
}

const mostKeys = 1000;
const longestTitle = 200;

/**
 * The public keys that another machine shows: of a cpm server those in force of the person whose key opens it, or of
 * `user`; of a plain account those that open it.
 *
 * @throws UserError when none of the keys opens it
 */
export async function fetchKeys(
  core: Core,
  { user, ...where }: Where & { user: string | undefined },
): Promise<{ readonly address: string; readonly keys: readonly FetchedKey[] }> {
  return visit(core, where, async (place) => {
    const { target, kind } = await place.meet();
    const { address, signal } = place;
    if (kind === 'cpm') return { address, keys: await ofUser(target, user, signal) };
    if (user !== undefined) {
      throw new UserError('usage', `${address} is a plain account: it has no users`, {
        hint: 'leave --user out',
      });
    }
    const text = (await readAccountFile(target, accountKeys, place)) ?? '';
    return { address, keys: authorizedKeys(text).slice(0, mostKeys).map(fetched) };
  });
}

async function ofUser(
  target: SshTarget,
  user: string | undefined,
  signal: AbortSignal,
): Promise<FetchedKey[]> {
  const whose = user === undefined ? [] : ['--user', user];
  // A list comes as it is: no object, which is all that answers are elsewhere.
  const said = await ask(target, ['sshkey', 'list', ...whose, '--json'], { signal });
  const rows = said.status === 0 ? readRows(said.stdout) : undefined;
  if (rows === undefined) {
    await askCpm(target, ['sshkey', 'list', ...whose], { signal });
    throw new UserError('unavailable', `${target.host}: it gives no list of keys`);
  }
  const found: FetchedKey[] = [];
  for (const { fingerprint: print, title, state } of rows.slice(0, mostKeys)) {
    if (state !== 'active') continue;
    const shown = await askCpm(target, ['sshkey', 'show', String(print)], { signal });
    const key = fetched({ ...parsePublicKey(String(shown['public_key'])), comment: String(title) });
    if (key.fingerprint === print) found.push(key);
  }
  return found;
}

function readRows(text: string): Readonly<Record<string, unknown>>[] | undefined {
  try {
    const rows: unknown = JSON.parse(text);
    return Array.isArray(rows) ? rows.map((row) => ({ ...row })) : undefined;
  } catch {
    return undefined;
  }
}

function fetched({ type, blob, comment }: PublicKey & { comment: string }): FetchedKey {
  const title = escapeControls(comment).slice(0, longestTitle);
  return { key: { type, blob } as PublicKey, fingerprint: fingerprint(blob), title };
}
