import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { UserError } from '../../model/errors.ts';
import { protocol } from '../../model/hello.ts';
import type { Introduction } from '../../model/pairing.ts';
import { nameFault } from '../../model/repo.ts';
import { parsePublicKey } from '../../model/sshkey.ts';
import type { Core } from '../core.ts';

/** What this server calls itself on the network: the first word of its `public_url`'s host, else of the machine's name. */
export function ownName(core: Core): string {
  const url = core.config.values.public_url;
  const host = url === '' ? hostname() : new URL(url).hostname;
  const fitted = host
    .toLowerCase()
    .replace(/\..*$/, '')
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63);
  return nameFault(fitted) === undefined ? fitted : 'cpm';
}

/** What this server wants to be trusted with. @throws UserError `unavailable` where a public key lacks */
export async function introduction(core: Core): Promise<Introduction> {
  const { hostKeyPaths, sshKeyPath } = core.config;
  const beacon = core.sessions.listeners.find((url) => url.startsWith('git://'));
  const signer = await core.chain.signer();
  return {
    protocol,
    name: ownName(core),
    sshPort: core.sshPort(),
    port: Number(/\d+$/.exec(beacon ?? '0')?.[0]),
    signKey: signer.publicKey.blob.toString('base64'),
    hostKey: await publicBlob(hostKeyPaths[0] ?? ''),
    signInKey: await publicBlob(sshKeyPath),
  };
}

async function publicBlob(path: string): Promise<string> {
  try {
    return parsePublicKey(await readFile(`${path}.pub`, 'utf8')).blob.toString('base64');
  } catch (cause) {
    throw new UserError('unavailable', `the public key ${path}.pub can't be read`, {
      hint: `make it with: ssh-keygen -y -f ${path} > ${path}.pub`,
      cause,
    });
  }
}
