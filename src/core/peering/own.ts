import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { type PeerAddress, parsePeerUrl } from '../../model/peer.ts';
import { readSigner } from '../../model/signer.ts';
import { fingerprint, parsePublicKey, publicKeyLine } from '../../model/sshkey.ts';
import type { SeenHostKey } from '../../programs/ssh.ts';
import type { Core } from '../core.ts';
import { readPrivateKey } from '../house.ts';

/**
 * Where others reach this server: `public_url`; without that, the one address that it listens on, where it does not
 * listen on all of them.
 */
export function ownAddress(core: Core): PeerAddress {
  const url = core.publicUrl();
  if (core.config.values.public_url !== '') return addressIn(url);
  // Where neighbors find this server is a listener too, and nobody signs in there.
  const listeners = core.sessions.listeners
    .map((each) => new URL(each))
    .filter(({ protocol }) => protocol === 'ssh:');
  const hosts = listeners.map(({ hostname }) => hostname.replaceAll(/[[\]]/g, ''));
  const at = hosts.findIndex((host) => host !== '0.0.0.0' && host !== '::');
  const isEverywhere = hosts.some((host) => host === '0.0.0.0' || host === '::');
  const found = listeners[at];
  if (found === undefined || isEverywhere) return addressIn(url);
  return { user: 'cpm', host: hosts[at] ?? '', port: Number(found.port || 22) };
}

function addressIn(url: string): PeerAddress {
  const { host, port } = parsePeerUrl(url.replace(/^ssh:\/\/[^@]*@/, 'cpm@'));
  return { user: 'cpm', host: isIP(host) === 0 ? host.toLowerCase() : host, port };
}

/** This server's host keys, in the order of its configuration. */
export async function ownHostKeys({ config }: Pick<Core, 'config'>): Promise<SeenHostKey[]> {
  const texts = await Promise.all(
    config.hostKeyPaths.map((path) => readFile(`${path}.pub`, 'utf8').catch(() => '')),
  );
  return texts
    .filter((text) => text !== '')
    .map((text) => {
      const key = parsePublicKey(text);
      return { fingerprint: fingerprint(key.blob), line: publicKeyLine(key, '') };
    });
}

/** The public half of the key that this server signs in with elsewhere, as `TYPE BASE64`. */
export async function ownSignInLine(path: string): Promise<string> {
  const text = await readFile(`${path}.pub`, 'utf8').catch(() => undefined);
  if (text !== undefined) return publicKeyLine(parsePublicKey(text), '');
  return publicKeyLine(readSigner(await readPrivateKey(path)).publicKey, '');
}
